"""What a site learns from: exams, what is known of them, and who is held out."""
