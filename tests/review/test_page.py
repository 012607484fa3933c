"""The page in a real browser: by keys alone, by mouse, from elsewhere, in two tabs, in a narrow window.

With ``NSRFC_SCREENSHOTS`` set to a folder, pictures of the screens are written there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.review.browser import browser, missing
from tests.review.conftest import Served

WHY_NOT = missing()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

QUESTION = ".pair"


class Page:
    """What a human sees and does."""

    def __init__(self, window: Chrome, served: Served) -> None:
        self.window, self.served = window, served

    def open(self, screen: str = "") -> None:
        # From another page: in the same one a new address is only a change of what follows the #.
        self.window.get("about:blank")
        self.window.get(self.served.review.address)
        self.one("main[data-screen][aria-busy='false']")
        if screen:
            self.window.execute_script("location.hash = arguments[0]", f"#/{screen}")
        self.one(f"main[data-screen='{screen or 'questions'}'][aria-busy='false']")

    def until(self, condition: Callable[[], object], what: str = "what was expected") -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            # What is found may be drawn anew before it is read.
            with suppress(StaleElementReferenceException, NoSuchElementException, IndexError):
                if condition():
                    return
            time.sleep(0.05)
        seen = self.window.find_element(By.TAG_NAME, "body").text
        raise AssertionError(f"{what} did not come; the page shows: {seen}")

    def press(self, *keys: str) -> None:
        for key in keys:
            ActionChains(self.window).send_keys(key).perform()

    def all(self, selector: str) -> list[WebElement]:
        return self.window.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        self.until(lambda: self.all(selector), selector)
        return self.all(selector)[0]

    def says(self, text: str) -> None:
        self.until(lambda: text in self.window.find_element(By.ID, "said").text, text)

    def complains(self, text: str) -> None:
        self.until(lambda: text in self.window.find_element(By.ID, "wrong").text, text)

    def acts(self, count: int) -> list[str]:
        """Return the acts in the journal, once there are so many."""
        self.until(lambda: len(self.served.library.history()) == count, f"{count} acts")
        return [entry.words for entry in self.served.library.history()]

    def question(self) -> str | None:
        return self.one(QUESTION).get_attribute("aria-label")

    def picture(self, name: str) -> None:
        folder = os.environ.get("NSRFC_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            time.sleep(0.4)  # pictures are decoded apart from the page
            self.window.save_screenshot(str(Path(folder) / f"{name}.png"))


def log(window: Chrome, kind: str) -> list[dict[str, str]]:
    """Return what the browser noted since it was last asked."""
    entries: list[dict[str, str]] = window.get_log(kind)  # type: ignore[no-untyped-call]
    return entries


@contextmanager
def shown(
    served: Served, profile: Path, *, width: int = 1100, height: int = 800, dark: bool = False
) -> Iterator[Page]:
    with browser(profile, width=width, height=height, dark=dark) as window:
        page = Page(window, served)
        yield page
        refused = [entry for entry in log(window, "browser") if "Content Security" in entry["message"]]
        assert refused == []


@pytest.fixture
def page(served: Served, tmp_path: Path) -> Iterator[Page]:
    with shown(served, tmp_path / "profile") as page:
        yield page


def test_questions_are_answered_by_keys_and_undone(page: Page) -> None:
    before = page.served.library.fingerprint()
    page.open()
    first = page.question()
    page.picture("questions")
    page.press("y")
    assert "one person" in page.acts(1)[0] or "confirmed" in page.acts(1)[0]
    page.until(lambda: page.question() != first)
    page.press("n", "s")
    words = page.acts(3)
    assert "different persons" in words[1]
    assert "left open" in words[2]
    page.press("u", "u", "u")
    page.acts(6)

    assert page.served.library.fingerprint() == before
    page.until(lambda: page.question() == first)
    page.press("u")
    page.says("Nothing was said in this tab")


def test_arrows_pass_over_questions_without_an_answer(page: Page) -> None:
    page.open()
    first = page.question()
    page.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.question() != first)
    page.press(Keys.ARROW_LEFT)
    page.until(lambda: page.question() == first)

    assert page.served.library.history() == []


def test_twelve_questions_at_a_time(page: Page) -> None:
    page.open()
    page.one(QUESTION)
    page.press("t")
    page.until(lambda: len(page.all(".pair.small")) == 12)
    page.picture("twelve")
    second = page.all(".pair.small")[1].get_attribute("aria-label")
    page.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.window.switch_to.active_element.get_attribute("aria-label") == second)
    page.press("n")
    page.acts(1)
    page.until(
        lambda: second not in [each.get_attribute("aria-label") for each in page.all(".pair.small")]
    )
    page.press("u")
    page.acts(2)
    page.until(lambda: second in [each.get_attribute("aria-label") for each in page.all(".pair.small")])


def test_naming_merging_splitting_and_undo_by_keys_alone(page: Page) -> None:
    before = page.served.library.fingerprint()
    one, other = page.served.library.groups()[:2]
    page.open("people")
    page.until(lambda: len(page.all(".tile")) == 60)
    page.press(Keys.ENTER)
    page.until(lambda: len(page.all(".faces .tile")) == len(one.faces))

    page.press("e")
    page.press("Anna", Keys.ENTER)
    page.acts(1)
    anna = page.served.library.group("Anna")
    assert anna.confirmed.tolist() == one.faces.tolist()
    page.until(lambda: page.window.current_url.endswith(f"#/person/{anna.id}"))
    page.until(lambda: "all confirmed" in page.one(".person").text)

    page.press(Keys.ARROW_RIGHT, " ", Keys.ARROW_RIGHT, " ")
    page.until(lambda: "2 selected" in page.one(".chosen").text)
    page.picture("person")
    page.press("s")
    assert "split from" in page.acts(2)[1]
    page.until(lambda: len(page.all(".faces .tile")) == len(one.faces) - 2)

    page.window.execute_script("location.hash = arguments[0]", f"#/person/{other.id}")
    page.until(lambda: len(page.all(".faces .tile")) == len(other.faces))
    page.press("e")
    page.press("Anna", Keys.ENTER)
    page.until(lambda: "Is this the same Anna?" in page.one("dialog").text)
    page.picture("same_name")
    page.press(Keys.ENTER)
    page.acts(3)
    page.until(lambda: page.window.current_url.endswith(f"#/person/{anna.id}"))
    assert len(page.served.library.group("Anna").confirmed) == len(one.faces) - 2 + len(other.faces)

    page.press("u", "u", "u")
    page.acts(6)
    assert page.served.library.fingerprint() == before


def test_several_are_selected_and_merged(page: Page) -> None:
    one, other = page.served.library.groups()[:2]
    page.open("people")
    page.until(lambda: len(page.all(".tile")) == 60)
    page.press(" ", Keys.ARROW_RIGHT, " ")
    page.until(lambda: "2 selected" in page.one(".chosen").text)
    page.press("m")
    page.acts(1)

    whole = page.served.library.groups()[0]
    assert sorted([*one.faces, *other.faces]) == whole.faces.tolist()
    page.until(lambda: f"{len(whole.faces)} faces" in page.all(".tile")[0].text)


def test_faces_are_removed_confirmed_and_made_the_cover(page: Page) -> None:
    library = page.served.library
    one = library.groups()[0]
    who = library.name(one.id, "Anna")
    page.open(f"person/{who}")
    page.until(lambda: len(page.all(".faces .tile")) == len(one.faces))
    page.all(".faces .tile button")[2].click()
    page.press("r")
    page.until(lambda: len(page.all(".faces .tile")) == len(one.faces) - 1)
    page.all(".faces .tile button")[4].click()
    page.press("v")
    page.acts(3)

    assert len(page.served.library.group("Anna").faces) == len(one.faces) - 1
    assert page.served.library.group("Anna").cover != one.faces[0]


def test_a_suggested_split_is_selected(page: Page) -> None:
    group = page.served.library.groups()[0]
    suggested = page.served.library.suggest_split(group.id)
    page.open(f"person/{group.id}")
    page.press("d")
    page.says("may be somebody else: look")

    assert len(page.all(".faces [aria-pressed='true']")) == len(suggested)
    page.press("s")
    page.acts(1)
    assert page.served.library.people()[0].confirmed.tolist() == suggested.tolist()


def test_history_undoes_any_act(page: Page) -> None:
    library = page.served.library
    one, other = library.groups()[:2]
    library.name(one.id, "Anna")
    library.name(other.id, "Bea")
    library.answer(0, 1, "unsure")
    page.open("history")
    page.until(lambda: len(page.all(".act")) == 3)
    page.press(Keys.ARROW_DOWN, Keys.ENTER)
    page.acts(4)
    page.until(lambda: len(page.all(".act.gone")) == 1)
    page.picture("history")

    assert {person.name for person in page.served.library.people()} == {"Anna"}


def test_a_refusal_is_shown_in_words(page: Page) -> None:
    library = page.served.library
    who = library.name(library.groups()[0].id, "Anna")
    page.open(f"person/{who}")
    page.press("e")
    page.press("p7", Keys.ENTER)

    page.complains("is no name")


def test_another_origin_cannot_write_or_read(page: Page) -> None:
    before = page.served.library.fingerprint()
    token, origin = page.served.review.token, page.served.origin
    with elsewhere() as address:
        page.window.get(address)
        outcome = page.window.execute_async_script(
            """
            const [origin, token, done] = arguments;
            const body = JSON.stringify({ a: 0, b: 1, word: "yes" });
            const tries = [
              fetch(`${origin}/api/say/answer`, { method: "POST", body, headers: { "X-Token": token } }),
              fetch(`${origin}/api/say/answer`, { method: "POST", body }),
              fetch(`${origin}/api/say/answer?token=${token}`, { method: "POST", body, mode: "no-cors" })
                .then((reply) => reply.json()),
              fetch(`${origin}/api/people`, { headers: { "X-Token": token } }),
            ];
            Promise.allSettled(tries).then((every) => done(every.map((each) => each.status)));
            """,
            origin,
            token,
        )
        page.window.execute_script(
            """
            const form = document.createElement("form");
            form.method = "post";
            form.action = `${arguments[0]}/api/say/answer?token=${arguments[1]}`;
            document.body.append(form);
            form.submit();
            """,
            origin,
            token,
        )
        page.until(lambda: "Only the page of nsrfc review may write" in page.window.page_source)

    assert outcome == ["rejected"] * 4
    assert page.served.library.history() == []
    assert page.served.library.fingerprint() == before


def test_two_tabs_lose_no_answer_and_undo_their_own(page: Page) -> None:
    page.open()
    page.question()
    one = page.window.current_window_handle
    page.window.switch_to.new_window("tab")
    other = page.window.current_window_handle
    page.open()
    page.question()
    for turn in range(3):
        for tab in (one, other):
            page.window.switch_to.window(tab)
            page.press("s" if turn else "n")
    words = page.acts(6)
    assert [each for each in words if "different persons" in each or "left open" in each] == words

    page.window.switch_to.window(one)
    said = json.loads(page.window.execute_script("return sessionStorage.getItem('said')"))
    page.press("u")
    page.acts(7)
    undone = [entry.number for entry in page.served.library.history() if not entry.counts]
    assert len(said) == 3
    assert undone == said[-1]["acts"]


def test_nothing_is_asked_of_anybody_else(page: Page) -> None:
    page.open()
    page.question()
    for key in "2", "3", "1":
        page.press(key)
        page.until(lambda: page.one("main").get_attribute("aria-busy") == "false")
    asked = []
    for entry in log(page.window, "performance"):
        message = json.loads(entry["message"])["message"]
        sent = message["params"] if message["method"] == "Network.requestWillBeSent" else {}
        # The browser asks for what its own first page shows.
        if sent.get("documentURL", "").startswith(page.served.origin):
            asked.append(sent["request"]["url"])

    own = [url for url in asked if url.startswith(page.served.origin)]
    assert own
    assert [url for url in asked if url not in own and not url.startswith("data:")] == []
    assert not any(
        page.served.review.token in url for url in own if "/thumbnail/" not in url and "#" not in url
    )


def test_every_control_has_a_name_and_every_picture_a_text(page: Page) -> None:
    library = page.served.library
    who = library.name(library.groups()[0].id, "Anna")
    for screen in ("questions", "people", f"person/{who}", "history"):
        page.open(screen)
        page.until(lambda: page.all("main button, main a"))
        nameless = page.window.execute_script(
            """
            const controls = [...document.querySelectorAll("button, a, input, img, [tabindex='0']")];
            return controls.filter((node) => {
              if (node.closest("[aria-hidden='true']")) return false;
              if (node.matches("img")) return !node.hasAttribute("alt");
              const label = node.getAttribute("aria-label") || node.textContent.trim();
              return !label && !node.labels?.length;
            }).map((node) => node.outerHTML);
            """
        )
        assert nameless == []


def test_without_the_token_the_page_says_what_to_do(page: Page) -> None:
    page.window.get(page.served.origin + "/")
    page.complains("open the address that nsrfc review printed")


def test_the_page_stays_after_reload_and_shows_no_token(page: Page) -> None:
    page.open()
    first = page.question()
    assert page.served.review.token not in page.window.current_url
    page.window.refresh()
    page.until(lambda: page.question() == first)


@pytest.mark.parametrize("screen", ["questions", "people", "person", "history"])
def test_a_narrow_window_needs_no_sideways_scrolling(
    served: Served, tmp_path: Path, screen: str
) -> None:
    library = served.library
    who = library.name(library.groups()[0].id, "Anna Magdalena of the very long and many names")
    with shown(served, tmp_path / "profile", width=360, height=720) as page:
        page.open(screen if screen != "person" else f"person/{who}")
        what = {"questions": QUESTION, "people": ".tile", "person": ".faces .tile", "history": ".act"}
        page.one(what[screen])
        page.picture(f"narrow_{screen}")
        over = page.window.execute_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
    assert over <= 0


def test_dark_where_the_computer_is_dark(served: Served, tmp_path: Path) -> None:
    library = served.library
    for group, name in zip(
        library.groups()[:7], ("Anna", "Bea", "Carl", "Dina", "Emil", "Fay"), strict=False
    ):
        library.name(group.id, name)
    for dark in (True, False):
        with shown(served, tmp_path / f"profile{dark}", dark=dark) as page:
            page.open("people")
            page.one(".tile:nth-child(6)")
            page.picture("dark" if dark else "people")
            color = page.window.execute_script("return getComputedStyle(document.body).backgroundColor")
            light = sum(map(int, color.removeprefix("rgb(").rstrip(")").split(","))) > 3 * 128
            assert light is not dark
            if dark:
                page.press("1")
                page.question()
                page.picture("dark_questions")


def test_where_there_are_no_pictures_a_map_is_shown(bare: Served, tmp_path: Path) -> None:
    with shown(bare, tmp_path / "profile") as page:
        page.open()
        page.question()
        assert len(page.all(".side > .map circle.own")) == 2
        assert page.all(".side img") == []
        page.until(lambda: len(page.all("circle.other")) > 100)
        page.picture("map")
        page.press("2")
        page.until(lambda: len(page.all(".tile .map")) == 60)
        assert "IMG_" in page.all(".tile .map")[0].text
        page.picture("map_people")


class _Elsewhere(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>elsewhere</title>")

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def elsewhere() -> Iterator[str]:
    """Serve a page of another origin."""
    with HTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
