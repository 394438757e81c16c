"""OHIF at `/viewer/`: served to who is signed in, with an extension of this site's own."""
