"""Papers' tables that are computed, not trained by a sweep: a function a table, or for several.

Each is a function whose keys stand in ``conf/computed_table/``, beside the paper's values. It is
given ``keep``, by which long work is kept in parts, and returns figures by panel, row and column.
"""
