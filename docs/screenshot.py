"""Takes docs/images/prefect-run.png: the page of a run in the Prefect UI, with its artifacts.

    python docs/screenshot.py http://127.0.0.1:4200 FLOW_RUN_ID

Needs Chromium with its driver, the package selenium, and a server whose PREFECT_UI_API_URL is its
own address.
"""

from __future__ import annotations

import sys
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import element_to_be_clickable
from selenium.webdriver.support.ui import WebDriverWait

IMAGE = Path(__file__).parent / "images" / "prefect-run.png"
SWITCHES = (
    *("headless", "no-sandbox", "disable-gpu", "no-first-run", "hide-scrollbars"),
    *("disable-background-networking", "disable-component-update", "disable-sync"),
    "window-size=1300,1360",
)


def main(server: str, flow_run: str) -> None:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for switch in SWITCHES:
        options.add_argument(f"--{switch}")
    browser = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        wait = WebDriverWait(browser, 30)
        browser.get(f"{server}/runs/flow-run/{flow_run}")
        wait.until(element_to_be_clickable((By.XPATH, "//*[text()='Artifacts']"))).click()
        for key in ("gomr-map", "gomr-reduce", "gomr-summary", "gomr-parts"):
            wait.until(element_to_be_clickable((By.XPATH, f"//*[contains(text(), '{key}')]")))
        browser.execute_async_script("setTimeout(arguments[0], 3000)")  # the timeline is a canvas
        browser.save_screenshot(str(IMAGE))
    finally:
        browser.quit()


if __name__ == "__main__":
    main(*sys.argv[1:])
