"""One file per verb; `main.VERBS` names them."""
