"""What files say about how they were made: policy, metadata, signatures, inspection."""
