"""What is usual for a stream: learned, held fast, and how far from it a stream strays by itself."""
