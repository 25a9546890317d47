"""Models of what is usual that look at all columns together; scikit-learn fits them."""
