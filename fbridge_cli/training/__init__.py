"""`fbridge train-prior` and `fbridge finetune`: one road, two networks."""
