"""Jobs on other machines: dask plans and moves them, workers are `dask worker` processes on machines that have bpfcompat.

`choice` says whether there is one, and nothing else here is imported if not. `coordinator` is the side that starts a run,
`worker` what runs on the others, `order` what they say to each other, and `parcels` how files get there.
"""
