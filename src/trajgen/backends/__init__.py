"""Language models behind one seam: messages and tools in, one reply out. One kind per file."""
