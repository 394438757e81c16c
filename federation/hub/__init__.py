"""What a hub does for a run: it proposes it, asks its sites, round after round, and sees it to its end."""
