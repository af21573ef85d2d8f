"""Structure-aware fuzzing of hotsplit on real files: see `fuzz.run`.

A case is one seed set of files, some structures of them changed, checksums made good again, then
every command over them. Case `n` of a seed is the same in every run.
"""
