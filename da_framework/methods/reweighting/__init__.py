"""How many times likelier a source row is in the target: importance weights, functions of rows."""
