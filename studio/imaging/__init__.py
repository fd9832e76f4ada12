"""Pictures as files and arrays: decoding, colour, cropping, video, metadata packets. No networks."""
