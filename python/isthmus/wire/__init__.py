"""Floor 1: octets to values and back, with no keys and no opinion.

Strict and total: any octets give a value or raise `Malformed` (`UnsupportedCritical` for an unknown
critical payload) and nothing else, and every value can be encoded again. Start at `v2/message.py`
for whole messages, `cursor.py` for how octets are read and what bounds the work.
"""
