"""Settings: arguments, then the environment; a key that never shows itself."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from civitai_skill import Civitai
from civitai_skill.config import DEFAULT_MAX_BUZZ, SERVICE_URL, SITE_URL, Secret, Settings
from civitai_skill.errors import ConfigError, explain
from civitai_skill.errors.next_steps import UseSandbox
from civitai_skill.sandbox import BASE_URL


def load(environ: dict[str, str] | None = None, **given: object) -> Settings:
    return Settings.load(environ=environ or {}, **given)  # type: ignore[arg-type]


def test_without_anything_it_is_the_service_and_no_key() -> None:
    settings = load({"HOME": "/home/a"})

    assert (settings.base_url, settings.sandbox, settings.max_buzz) == (
        SERVICE_URL,
        False,
        DEFAULT_MAX_BUZZ,
    )
    assert settings.home == Path("/home/a/.local/state/civitai-skill")
    assert not settings.key


def test_both_names_of_the_key_are_read_and_the_first_wins() -> None:
    both = {"CIVITAI_API_KEY": "one", "CIVITAI_API_TOKEN": "two"}

    assert load(both).key.reveal() == "one"
    assert load({"CIVITAI_API_TOKEN": " two\n"}).key.reveal() == "two"
    assert load(both, key="three").key.reveal() == "three"
    assert load(both).key_source == "CIVITAI_API_KEY"


def test_the_key_shows_in_no_repr_and_is_not_pickled() -> None:
    settings = load({"CIVITAI_API_KEY": "s3cret"})

    assert "s3cret" not in repr(settings) + str(settings.key) + f"{settings.key!r}"
    with pytest.raises(TypeError):
        pickle.dumps(settings)
    with pytest.raises(TypeError):
        copy.deepcopy(settings.key)


def test_a_missing_key_is_told_with_the_way_out() -> None:
    with pytest.raises(ConfigError) as caught:
        load().require_key()

    assert "CIVITAI_API_KEY" in caught.value.hint
    assert UseSandbox() in caught.value.next
    assert explain(caught.value).exit_code == 3


@pytest.mark.parametrize("key", ["two words", "line\nbreak in it", "ключ"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({"CIVITAI_API_KEY": key})

    assert key not in explain(caught.value).text()


@pytest.mark.parametrize(
    "url",
    ["ftp://a", "a.com", "https://", "https://a?x=1", "https://me:pw@a", "http://a.com",
     "https://a:99999", "//a"],
)  # fmt: skip
def test_an_unusable_base_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({"CIVITAI_BASE_URL": url})

    assert "pw@" not in explain(caught.value).text()


def test_plain_http_is_for_this_machine_only() -> None:
    assert load(base_url="http://127.0.0.1:8787/").base_url == "http://127.0.0.1:8787"
    assert load(base_url="http://localhost:1").base_url == "http://localhost:1"


def test_the_site_is_the_real_one_only_beside_the_real_service(tmp_path: Path) -> None:
    assert load().site_url == SITE_URL
    assert load(base_url="https://orchestration-new.civitai.com").site_url == SITE_URL
    for port in ("http://127.0.0.1:8787", "http://localhost:8787/", "http://[::1]:8787"):
        assert load(base_url=port).site_url == port.rstrip("/") + "/api/v1"
    own = load({"CIVITAI_SITE_URL": "https://example.com/api/v1/"}, base_url="http://127.0.0.1:1")
    assert own.site_url == "https://example.com/api/v1"
    with pytest.raises(ConfigError, match="would send the key unencrypted"):
        load({"CIVITAI_SITE_URL": "http://example.com"})
    # The sandbox in this process has a site of its own, whatever the environment says.
    elsewhere = {"CIVITAI_SITE_URL": "https://example.com", "HOME": str(tmp_path)}
    with Civitai(settings=load(elsewhere, sandbox=True)) as client:
        assert client._public.site_url.startswith(f"{BASE_URL}/")


def test_the_sandbox_flag_is_read_in_its_common_spellings() -> None:
    assert [load({"CIVITAI_SANDBOX": v}).sandbox for v in ("1", "TRUE", "0", "no", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    with pytest.raises(ConfigError):
        load({"CIVITAI_SANDBOX": "perhaps"})


def test_the_ceiling_is_a_whole_number_of_buzz() -> None:
    assert load({"CIVITAI_MAX_BUZZ": "50"}).max_buzz == 50
    for text in ("-1", "1.5", "many", "²"):
        with pytest.raises(ConfigError):
            load({"CIVITAI_MAX_BUZZ": text})


def test_a_secret_of_another_library_is_understood() -> None:
    class Theirs:
        def get_secret_value(self) -> str:
            return "theirs"

    assert load(key=Theirs()).key == Secret("theirs")


@pytest.mark.parametrize(
    "text",
    ["YOUR_API_KEY", "your-key-here", "${CIVITAI_API_KEY}", "$CIVITAI_API_KEY", "<key>",
     "{{civitai.key}}", "%CIVITAI_API_KEY%", "CIVITAI_API_KEY", " ${input:civitai-key} "],
)  # fmt: skip
def test_a_placeholder_is_no_key_and_is_named_when_one_is_needed(text: str) -> None:
    for settings in (load({"CIVITAI_API_KEY": text}), load(key=text)):
        assert not settings.key
        with pytest.raises(ConfigError, match="is a placeholder, not a key") as caught:
            settings.require_key()
        assert text.strip() in caught.value.message
    both = load({"CIVITAI_API_KEY": text, "CIVITAI_API_TOKEN": "t0ken"})
    assert (both.key, both.key_source) == (Secret("t0ken"), "CIVITAI_API_TOKEN")


def test_a_tilde_is_the_home_in_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    home = {"HOME": "/home/a"}
    assert load({**home, "CIVITAI_SKILL_HOME": "~/x"}).home == Path("/home/a/x")
    assert load({**home, "XDG_STATE_HOME": "~"}).home == Path("/home/a/civitai-skill")
    assert load(home, home="~/x/y").home == Path("/home/a/x/y")
    assert load(home, ledger="~/b.sqlite3").ledger == Path("/home/a/b.sqlite3")
    assert load(home, home="a/~").home == Path("a/~")


def test_without_any_home_the_variable_to_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(ConfigError) as caught:
        load({})
    assert "CIVITAI_SKILL_HOME" in caught.value.hint
    assert load({"CIVITAI_SKILL_HOME": "/state"}).home == Path("/state")
