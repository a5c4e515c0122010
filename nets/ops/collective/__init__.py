"""Operations over the ranks of a job (``nets.communicator``)."""
