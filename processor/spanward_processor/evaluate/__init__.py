"""How well anomalies are found: evaluations with a known truth, over several seeds, beside what is to be reached."""
