"""Checkpoints, LoRAs, embeddings and VAEs by name, link or hash: search, resolve, keep.

What the site says of a model decides which engine takes it; nothing is bought here, and no name is
guessed. `site.ModelSite(service, cache)` is the way in; its methods, and
`search.find_by_name` and `search.search`, are flows (`api.service.Flow`):

    site = ModelSite(service, cache)             cache: a storage.cache.Cache, or None
    found = yield from site.by_version(2514310)  a Resource, or None where the site has none
    found = yield from site.by_hash("A5F58EB1C3")    AutoV1, AutoV2, AutoV3, CRC32, SHA256, BLAKE3
    match = yield from find_by_name(site, "Detail Tweaker", kind="lora", engine="sdxl")
    match.found, match.candidates                a Resource or None; those that it may mean
    model = yield from site.model(827184)        a Model with its versions, or None
    found = yield from site.newest(model, kind="lora", engine="sdxl")

A `Resource` is one version of a model: `air`, `kind` (checkpoint, lora, embedding, vae, other),
`name`, `version_name`, `base_model`, `takers` (the engines that take it: each with `engine` and the
`variant` to name, None where that is left to the engine; the first is the best), `triggers` (its
trigger words), `refusal` (why it can't be generated with, "" where it can) and what else the site
tells; `missing` names what it did not tell. TransportFailed and ApiError are raised where the site
gives no usable answer.
"""
