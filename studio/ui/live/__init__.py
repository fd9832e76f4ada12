"""The live channel: moves of controls in, pictures out, on one socket a page, so that the picture follows the hand."""
