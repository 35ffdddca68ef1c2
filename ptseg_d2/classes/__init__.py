"""Classes of data sets: tables of names, colours and label ids."""
