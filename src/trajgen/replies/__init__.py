"""What a model wrote -> a turn. One format per file; each is a total function that never raises."""
