"""How requests come in: the protocols, who may send, and what is answered."""
