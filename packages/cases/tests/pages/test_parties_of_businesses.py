"""The page of a business links the cases in which its legal name or an owner is a party."""

from __future__ import annotations

from support.business_service import register
from support.console_harness import RunningConsole
from support.legal_cases import case_visits
from wavebreak_cases.pages.demo_case import CASE_ID

LINK = f'href="/console/cases/{CASE_ID}/parties"'


@case_visits
async def test_business_links_cases_of_its_parties_by_name(console: RunningConsole) -> None:
    made = console.running
    await register(made, "reach", "n1", legal_name="RAPID REACH ltd")
    await register(made, "other", "n2", legal_name="Other Ltd", owners=["Rapid Reach"])
    await register(made, "shop", "n3", legal_name="<b>Shop</b> & Sons")
    counsel, analyst = await console.person("counsel"), await console.person("analyst")
    for name, linked in (("reach", True), ("other", True), ("shop", False)):
        page = await counsel.get(f"/console/portfolios/{name}")
        assert (page.status_code, LINK in page.text) == (200, linked), name
        # Who may not see cases is shown none.
        page = await analyst.get(f"/console/portfolios/{name}")
        assert (page.status_code, LINK in page.text) == (200, False), name
