"""The gallery: an index over everything that was saved, with thumbnails, search and trash."""
