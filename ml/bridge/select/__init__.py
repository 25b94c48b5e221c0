"""Selection: the candidates, what validation users say of them, and which of them serve whom."""
