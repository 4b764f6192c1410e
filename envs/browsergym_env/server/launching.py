"""Which browser is started, and with which switches.

All of them are given here, none by Playwright, so that what a browser may reach and how it is held is read in one
place.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from openenv.errors import ConfigurationError

__all__ = ["LOCAL_HOST", "Launch", "find_browser", "may_make_namespaces"]

LOCAL_HOST = "miniwob.localhost"
"""Where the packaged pages are. Nothing listens there: they are handed to the browser (see `pages`)."""

EVERYWHERE = "*"

GUARDIAN = Path(__file__).with_name("browser_guardian.py")

PLACES = (
    "/usr/lib/chromium/chromium-headless-shell",  # a third of the memory and of the time to start
    "/usr/lib/chromium/chromium",
    *("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"),
)

SWITCHES = """
--headless --remote-debugging-pipe --no-first-run --no-default-browser-check --no-service-autorun --mute-audio
--enable-automation --password-store=basic --use-mock-keychain --disable-gpu --disable-dev-shm-usage
--disable-breakpad --disable-crash-reporter --disable-field-trial-config --disable-background-networking
--disable-component-update --disable-client-side-phishing-detection --disable-default-apps --disable-extensions
--disable-component-extensions-with-background-pages --disable-search-engine-choice-screen --disable-sync
--metrics-recording-only --disable-domain-reliability --no-pings
--disable-background-timer-throttling --disable-backgrounding-occluded-windows --disable-renderer-backgrounding
--disable-back-forward-cache --disable-hang-monitor --disable-ipc-flooding-protection --disable-prompt-on-repost
--disable-popup-blocking --allow-pre-commit-input --force-color-profile=srgb --font-render-hinting=none
--disable-partial-raster --disable-skia-runtime-opts --num-raster-threads=1 --disable-lcd-text
--force-webrtc-ip-handling-policy=disable_non_proxied_udp --lang=en-US
""".split()  # noqa: SIM905 - a list of them would have forty lines

FEATURES_OFF = (
    # Otherwise screenshots do not have the scroll bars.
    *("OverlayScrollbars", "ExtendedOverlayScrollbars"),
    *("AcceptCHFrame", "AutofillServerCommunication", "CertificateTransparencyComponentUpdater"),
    *(
        "DialMediaRouteProvider",
        "GlobalMediaControls",
        "HttpsUpgrades",
        "ImprovedCookieControls",
        "LazyFrameLoading",
    ),
    *("MediaRouter", "OptimizationHints", "PaintHolding", "Translate"),
)


@dataclass(frozen=True)
class Launch:
    """How a browser is started.

    Attributes:
        program: The browser.
        allow: Hosts that pages may be loaded from besides the packaged ones; `*` for all.
        sandbox: Whether it holds its own processes in, which takes user namespaces.
    """

    program: str
    allow: tuple[str, ...] = ()
    sandbox: bool = False

    def line(self, profile: Path) -> list[str]:
        """Return the guardian's command line, its Python left out."""
        switches = [*SWITCHES, f"--disable-features={','.join(FEATURES_OFF)}", f"--user-data-dir={profile}"]
        if not self.sandbox:
            switches.append("--no-sandbox")
        if EVERYWHERE not in self.allow:
            exceptions = "".join(f", EXCLUDE {host}" for host in self.allow)
            switches += [f"--host-resolver-rules=MAP * ~NOTFOUND{exceptions}"]
        if not self.allow:
            switches.append("--no-proxy-server")
        program = ["-I", "-S", str(GUARDIAN), str(os.getpid()), str(profile), self.program]
        return [*program, *switches, "about:blank"]

    def allows(self, host: str) -> bool:
        """Return whether pages of a host may be loaded from the network."""
        return EVERYWHERE in self.allow or host in self.allow


def find_browser(named: str | None = None) -> str:
    """Return where the browser is.

    Args:
        named: Its path or name; None for the first that is installed.

    Raises:
        ConfigurationError: There is none.
    """
    for place in [named] if named else PLACES:
        if found := shutil.which(place):
            return found
    raise ConfigurationError(
        f"There is no browser {named}" if named else "There is no browser: apt-get install chromium-headless-shell"
    )


@cache
def may_make_namespaces() -> bool:
    """Return whether chromium can hold its processes in: not as root, and by user namespaces."""
    if os.geteuid() == 0:
        return False
    program = "import ctypes; exit(ctypes.CDLL(None).unshare(0x10000000 | 0x20000000) != 0)"
    tried = subprocess.run([sys.executable, "-I", "-S", "-c", program], check=False, capture_output=True)
    return tried.returncode == 0
