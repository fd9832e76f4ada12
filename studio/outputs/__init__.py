"""Files written for the artist: sheets, clips, class sets, batches, upscaled pictures."""
