"""Who gets money in the demo data: invented people, from several parts of a country that is none.

Pure, and the same each time: the random numbers have a seed.
"""

import random
from dataclasses import dataclass

#: first names and family names that go together
_NAMES = (
    (
        ("Amina", "Fatou", "Mariam", "Aïssata", "Ousmane", "Ibrahima", "Cheikh", "Moussa"),
        ("Diallo", "Traoré", "Ndiaye", "Keïta", "Sow", "Camara", "Coulibaly"),
    ),
    (
        ("Wanjiru", "Achieng", "Nalubega", "Joseph", "Okello", "Mwangi", "Grace", "Baraka"),
        ("Otieno", "Kamau", "Mutua", "Nakato", "Wekesa", "Odhiambo", "Njoroge"),
    ),
    (
        ("Layla", "Hassan", "Yusuf", "Zeinab", "Omar", "Salma", "Khalid", "Noura"),
        ("Al-Amin", "Haddad", "Mansour", "Nasser", "El-Sayed", "Barakat"),
    ),
    (
        ("Lakshmi", "Ravi", "Ananya", "Suresh", "Meena", "Arjun", "Kavitha", "Nimal"),
        ("Perera", "Iyer", "Fernando", "Sharma", "Nair", "Rahman", "Silva"),
    ),
    (
        ("María", "José", "Lucía", "Carlos", "Inés", "Mateo", "Rosa", "Tomás"),
        ("Quispe", "Hernández", "Mamani", "Gutiérrez", "Flores", "Núñez", "Condori"),
    ),
    (
        ("Siti", "Budi", "Linh", "Minh", "Malee", "Somchai", "Dewi", "Thuy"),
        ("Wijaya", "Nguyen", "Santoso", "Tran", "Saetang", "Lestari", "Pham"),
    ),
)
#: destination banks, and how many of a hundred people have their account there
_BANKS = (("FIRST", 46), ("AGRI", 27), ("POST", 19), ("UNION", 8))


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One beneficiary."""

    beneficiary_id: str
    name: str
    bank_code: str
    branch_code: str
    account_number: str  # invented; empty for those who have none yet


def people(prefix, count, *, without_account=0):
    """Return so many people, always the same for a prefix.

    :param str prefix: of their ids, such as ``CH``
    :param int without_account: how many of them have no account yet
    """
    chance = random.Random(f"people {prefix}")
    banks, weights = zip(*_BANKS, strict=True)
    lacking = set(chance.sample(range(count), without_account))
    found = []
    for number in range(count):
        first_names, family_names = chance.choice(_NAMES)
        [bank] = chance.choices(banks, weights)
        account = f"{chance.randrange(10**9, 10**10)}"
        found.append(
            Person(
                beneficiary_id=f"{prefix}-{100000 + 7 * number}",
                name=f"{chance.choice(first_names)} {chance.choice(family_names)}",
                bank_code=bank,
                branch_code=f"{chance.randrange(1, 40):03d}",
                account_number="" if number in lacking else account,
            )
        )
    return found
