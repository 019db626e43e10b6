"""An own certificate authority in a folder: certificates, revocation lists, and what gateways need.

Floor 4: it reads and writes files. The time and the entropy of serial numbers are handed in.
"""
