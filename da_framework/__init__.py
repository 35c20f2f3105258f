"""Domain adaptation and transfer learning whose numbers can be trusted and repeated."""
