"""What a model costs to run: size, speed, energy, money."""
