"""The methods, each with the recipe of its paper."""
