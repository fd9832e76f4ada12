"""What goes out into the world: models and Spaces to the Hub, marks of AI and signatures, and whether a model may be given away."""
