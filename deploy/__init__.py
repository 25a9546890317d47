"""Ways to run the stack: a broker (`kafka/`), without Docker (`local/`), and later Kubernetes."""
