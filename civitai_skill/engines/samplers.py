"""The names that other programs have for samplers and schedules, and what they are called here.

Two backends have names of their own: comfy and sdcpp. The names on the left are A1111's and its
relatives'. Sources: Civitai's own table (civitai/civitai generation.constants.ts, two typos of its
DPM2 rows set right), A1111's and Forge's sd_samplers and sd_schedulers, stable-diffusion.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

Backend = Literal["comfy", "sdcpp"]
BACKENDS: tuple[Backend, ...] = ("comfy", "sdcpp")

#: A schedule that A1111 writes where it takes the sampler's own.
AUTOMATIC = "Automatic"

# k-diffusion's and ComfyUI's nodes put these before a name.
_PREFIXES = ("", "k", "sample")


@dataclass(frozen=True)
class Known:
    """A sampler or a schedule by its usual name, with the names that backends have for it.

    `near` are those of them that have a relative only, which draws another picture.
    """

    name: str
    named: Mapping[Backend, str]
    near: frozenset[Backend]


@dataclass(frozen=True)
class Pair:
    """A sampler and a scheduler as one backend names them; `near`: only a relative is there."""

    sampler: str
    scheduler: str
    near: bool = False


# name | comfy | sdcpp | other spellings; ~ marks a relative, - none.
_SAMPLERS = """
Euler a | euler_ancestral | euler_a | euler_a
Euler | euler | euler |
LMS | lms | - |
Heun | heun | heun |
DPM2 | dpm_2 | dpm2 |
DPM2 a | dpm_2_ancestral | - | dpm_2_a
DPM++ 2S a | dpmpp_2s_ancestral | dpm++2s_a | dpmpp_2s_a
DPM++ 2M | dpmpp_2m | dpm++2m |
DPM++ SDE | dpmpp_sde | - | dpmpp_sde_gpu
DPM++ 2M SDE | dpmpp_2m_sde | - | dpmpp_2m_sde_gpu | dpmpp_2m_sde_ka
DPM++ 2M SDE Heun | ~dpmpp_2m_sde | - | dpmpp_2m_sde_heun
DPM++ 3M SDE | dpmpp_3m_sde | - | dpmpp_3m_sde_gpu
DPM fast | dpm_fast | - |
DPM adaptive | dpm_adaptive | - | dpm_ad
Restart | ~dpmpp_2m | ~dpm++2m |
DDIM | ddim | ~ddim_trailing |
DDIM CFG++ | ~ddim | - | ddim_cfgpp
PLMS | ~ipndm | ~ipndm |
UniPC | uni_pc | - |
UniPC bh2 | uni_pc_bh2 | - |
LCM | lcm | lcm |
HeunPP2 | heunpp2 | - |
IPNDM | ipndm | ipndm |
IPNDM_V | ipndm_v | ipndm_v |
DEIS | deis | - |
DDPM | ddpm | - |
Euler CFG++ | euler_cfg_pp | - |
Euler a CFG++ | euler_ancestral_cfg_pp | - |
DPM++ 2M CFG++ | dpmpp_2m_cfg_pp | - |
DPM++ 2S a CFG++ | dpmpp_2s_ancestral_cfg_pp | - |
DPM++ SDE CFG++ | - | - | dpmpp_sde_cfg_pp
Res Multistep | res_multistep | res_multistep |
ER SDE | er_sde | er_sde |
TCD | - | tcd |
DPM++ 2M v2 | - | dpm++2mv2 |
Res 2S | - | res_2s |
DDIM Trailing | - | ddim_trailing |
DPM++ 2M SDE CFG++, DPM++ 3M SDE CFG++, Euler SMEA, Euler Dy, Euler SMEA Dy | - | - |
Kohaku_LoNyu_Yog, Gradient Estimation, SA Solver, Seeds 2, Seeds 3 | - | - |
[Forge] Flux Realistic | - | - |
"""

#: The schedule that A1111 takes of itself, where it is not the uniform one.
_OWN_SCHEDULE = {
    **dict.fromkeys(("DPM2", "DPM2 a", "DPM++ 2S a", "DPM++ 2M", "DPM++ SDE", "Restart"), "Karras"),
    **dict.fromkeys(("DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ 3M SDE"), "Exponential"),
}

# name | comfy | sdcpp | other spellings. Unnamed: A1111 before 1.9 and Civitai mean uniform.
_SCHEDULES = """
Uniform | normal | discrete | discrete
Normal | normal | discrete |
Karras | karras | karras |
Exponential | exponential | exponential |
Polyexponential | exponential | exponential |
SGM Uniform | sgm_uniform | sgm_uniform |
Simple | simple | simple |
DDIM | ddim_uniform | - | ddim uniform
Beta | beta | - |
KL Optimal | - | kl_optimal |
Align Your Steps | - | ays | ays
Align Your Steps 11 | - | ~ays | ays 11
Align Your Steps 32 | - | ~ays | ays 32
Align Your Steps GITS | - | gits | gits
Bong Tangent | - | bong_tangent |
Smoothstep | - | smoothstep |
LCM | - | lcm |
Turbo, Karras Exponential, Linear Quadratic, Beta57 | - | - |
"""


def split_sampler(written: str) -> tuple[Known, str | None] | None:
    """The sampler and the schedule that one name says, as in "DPM++ 2M Karras"; None where it is no
    sampler's name. Case, spaces, dashes and underscores do not count."""
    text, known = _fold(written), _known("sampler")
    text = next((bare for p in _PREFIXES if (bare := text.removeprefix(p)) in known), text)
    if text in known:
        return known[text], None
    schedules = _known("schedule")
    for ending in sorted(filter(text.endswith, schedules), key=len, reverse=True):
        start = text.removesuffix(ending)
        found = next((known[b] for p in _PREFIXES if (b := start.removeprefix(p)) in known), None)
        if found is not None:
            return found, schedules[ending].name
    return None


def name_schedule(written: str) -> str:
    """A schedule by its usual name; one that nobody knows as it is written."""
    if _fold(written) == _fold(AUTOMATIC):
        return AUTOMATIC
    found = _known("schedule").get(_fold(written))
    return written if found is None else found.name


def find_pair(written: str, schedule: str | None, backend: Backend) -> Pair | None:
    """What a backend calls a sampler and a schedule; None where it lacks one of them.

    A schedule that is given wins over one in the sampler's name; without any it is uniform.
    """
    found = split_sampler(written)
    if found is None:
        return None
    sampler, said = found
    said = schedule or said or "Uniform"
    if _fold(said) == _fold(AUTOMATIC):
        said = _OWN_SCHEDULE.get(sampler.name, "Uniform")
    asked = _known("schedule").get(_fold(said))
    if asked is None or backend not in sampler.named or backend not in asked.named:
        return None
    near = backend in sampler.near | asked.near
    return Pair(sampler.named[backend], asked.named[backend], near)


@cache
def _known(kind: Literal["sampler", "schedule"]) -> Mapping[str, Known]:
    """{every spelling, folded: what it means}; of a sampler also what the backends call it."""
    found: dict[str, Known] = {}
    table = _SAMPLERS if kind == "sampler" else _SCHEDULES
    for line in table.strip().splitlines():
        names, comfy, sdcpp, *more = (cell.strip().removeprefix("-") for cell in line.split("|"))
        cells: tuple[tuple[Backend, str], ...] = (("comfy", comfy), ("sdcpp", sdcpp))
        named = {backend: cell.lstrip("~") for backend, cell in cells if cell}
        near = frozenset(backend for backend, cell in cells if cell[:1] == "~")
        exact = [cell for _, cell in cells if cell[:1] != "~"] if kind == "sampler" else []
        for name in names.split(", "):
            for word in filter(None, (name, *exact, *more)):
                found.setdefault(_fold(word), Known(name, named, near))
    return MappingProxyType(found)


def _fold(text: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", text.casefold())
