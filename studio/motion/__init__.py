"""Motion: parameters over time. Sources, tracks, key frames, loops, and what a sound says; played live or rendered to a film."""
