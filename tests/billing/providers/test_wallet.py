"""The prepaid wallet: a provider that is nothing but ledger rows."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from fleetsight.billing.books import Book
from fleetsight.billing.ledger import LedgerError
from fleetsight.billing.provider import Authorize, Authorized, Declined
from fleetsight.billing.providers.wallet import HOLD_S, Wallet, WalletError
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.money import Money
from fleetsight.store.rows import Rows
from tests.contracts.payment_provider_contract import CurrencyContract, euro


class TestContract(CurrencyContract):
    good_method = "anna"
    poor_method = "ben"

    @pytest.fixture
    def provider(self, clock: VirtualClock, rows: Rows) -> Wallet:
        wallet = Wallet(rows, clock)
        for amount in (euro(100_000), Money(100_000, "JPY"), Money(1_000_000, "KWD")):
            wallet.top_up("t1", "anna", amount=amount, key=f"top-up:{amount.currency}")
        return wallet

    @pytest.fixture(autouse=True)
    def balanced(self, rows: Rows, provider: Wallet) -> Iterator[None]:
        """After every test of the contract the wallet's book is whole."""
        yield
        with rows.reading() as connection:
            assert Book("t1", "wallet").verify(connection) == ()


@pytest.fixture
def wallet(sqlite_rows: Rows, clock: VirtualClock) -> Wallet:
    return Wallet(sqlite_rows, clock)


def hold(key: str, amount: Money, shopper: str = "anna") -> Authorize:
    return Authorize(key, "t1", "s1", shopper, amount)


def test_a_top_up_counts_once(wallet: Wallet) -> None:
    assert wallet.top_up("t1", "anna", amount=euro(2000), key="t") == euro(2000)
    assert wallet.top_up("t1", "anna", amount=euro(2000), key="t") == euro(2000)
    with pytest.raises(LedgerError, match="stands for"):
        wallet.top_up("t1", "anna", amount=euro(2001), key="t")
    assert wallet.balance("t1", "anna", currency="EUR") == euro(2000)


@pytest.mark.parametrize("minor", [0, -5])
def test_a_top_up_is_above_zero(wallet: Wallet, minor: int) -> None:
    with pytest.raises(WalletError, match="top-up"):
        wallet.top_up("t1", "anna", amount=euro(minor), key="t")


def test_what_is_held_cannot_be_spent_twice(wallet: Wallet) -> None:
    wallet.top_up("t1", "anna", amount=euro(3000), key="t")
    assert isinstance(wallet.authorize(hold("a", euro(2500))), Authorized)
    assert wallet.balance("t1", "anna", currency="EUR") == euro(500)
    assert wallet.authorize(hold("b", euro(501))) == Declined("insufficient_funds")
    assert isinstance(wallet.authorize(hold("c", euro(500))), Authorized)


def test_wallets_of_other_tenants_shoppers_and_currencies_are_others(wallet: Wallet) -> None:
    wallet.top_up("t1", "anna", amount=euro(3000), key="t")
    assert wallet.balance("t2", "anna", currency="EUR") == euro(0)
    assert wallet.authorize(hold("a", euro(1), "ann")) == Declined("insufficient_funds")
    assert wallet.authorize(hold("b", Money(1, "USD"))) == Declined("insufficient_funds")


def test_captures_voids_and_refunds_come_back_to_the_shopper(wallet: Wallet) -> None:
    wallet.top_up("t1", "anna", amount=euro(5000), key="t")
    first, second = wallet.authorize(hold("a", euro(2500))), wallet.authorize(hold("b", euro(2500)))
    assert isinstance(first, Authorized)
    assert isinstance(second, Authorized)
    wallet.capture(first.ref, euro(640), key="c")
    wallet.void(second.ref, key="v")
    assert wallet.balance("t1", "anna", currency="EUR") == euro(4360)
    wallet.refund(first.ref, euro(140), key="r")
    assert wallet.balance("t1", "anna", currency="EUR") == euro(4500)


def test_a_hold_that_is_over_is_spent_again(wallet: Wallet, clock: VirtualClock, sqlite_rows: Rows) -> None:
    wallet.top_up("t1", "anna", amount=euro(2500), key="t")
    wallet.authorize(hold("a", euro(2500)))
    clock.advance(HOLD_S * SECOND_NS)
    assert isinstance(wallet.authorize(hold("b", euro(2500))), Authorized)
    with sqlite_rows.reading() as connection:
        assert Book("t1", "wallet").verify(connection) == ()
        assert list(Book("t1", "wallet").balances(connection, prefix="hold:")) == [("hold:b", "EUR")]


def test_two_processes_cannot_overdraw_a_wallet(rows: Rows, rows_url: str, clock: VirtualClock) -> None:
    with closing(Rows.open(rows_url)) as other_rows:
        wallets = (Wallet(rows, clock), Wallet(other_rows, clock))
        wallets[0].top_up("t1", "anna", amount=euro(5000), key="t")
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda n: wallets[n % 2].authorize(hold(f"a{n}", euro(2500))), range(6)))
    assert len([answer for answer in answers if isinstance(answer, Authorized)]) == 2
    assert wallets[0].balance("t1", "anna", currency="EUR") == euro(0)
