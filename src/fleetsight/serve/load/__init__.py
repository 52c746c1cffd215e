"""Load on a server: who sends what when, what came back, where the knee lies, and the profile that follows from it."""
