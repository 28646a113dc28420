"""What a person can ask of a trained model: settings, an answer, a figure, and the command line that repeats it."""
