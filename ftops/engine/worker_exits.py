"""What a worker's exit code tells the scheduler."""

EXIT_STOPPED = 75  # told to stop; it gave the job back to the queue
EXIT_BUSY = 76  # another worker has the job
