"""What is made of answers and labels: pure functions of arrays, and the shapes in which results hold them."""
