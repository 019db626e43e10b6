"""Live tests in network namespaces: Isthmus against strongSwan, and the lab that both stand on."""
