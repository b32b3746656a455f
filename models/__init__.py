"""Networks only: pose networks, the LSTM actor and critic, and the modules that get exported."""
