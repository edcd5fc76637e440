"""From measurements to the plain facts that the rules read."""
