"""Pages for people, held to the code: what they name exists, what they show is so."""
