// Pays three people and follows them to the end, with Node's own fetch (Node 18 or later).
//
// Takes BRIDGE_URL, BRIDGE_DB, PBMS_KEY, PROGRAM and CYCLE from the environment. Run it as often
// as you like: nobody is paid twice.

const { BRIDGE_URL, BRIDGE_DB, PBMS_KEY, PROGRAM = "CHILD", CYCLE = "2026-11" } = process.env;
const KEY = `${PROGRAM}-${CYCLE}-regular`;
// texts: a number in JavaScript is a float, and sums of floats go wrong
const AMOUNTS = { BEN000001: "100.50", BEN000002: "50.00", BEN000003: "7.25" };
const TOTAL = "157.75";
const ENDED = ["reconciled", "reversed", "rejected", "cancelled"];
const ATTEMPTS = 6;
const ANSWER_MS = 150_000;
const LONGEST_MS = 600_000;

/** The bridge refused the call and changed nothing. */
class Refused extends Error {
    constructor(code, rows) {
        super(code);
        this.code = code;
        this.rows = rows;
    }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Return {status, answer}, or null where there is no answer: nobody can say what was done. */
async function attempt(method, body) {
    try {
        const response = await fetch(`${BRIDGE_URL}/json/2/g2p.bridge/${method}`, {
            method: "POST",
            headers: {
                Authorization: `bearer ${PBMS_KEY}`,
                "X-Odoo-Database": BRIDGE_DB,
                "Content-Type": "application/json",
            },
            body,
            redirect: "error",
            signal: AbortSignal.timeout(ANSWER_MS),
        });
        if (response.status >= 500 || response.status === 429) {
            return null;
        }
        return { status: response.status, answer: await response.json() };
    } catch {
        return null;
    }
}

/**
 * Call a method of the bridge; repeat it while there is no answer.
 *
 * Only for calls that may be repeated: questions, and those with an idempotency key.
 */
async function call(method, args) {
    const body = JSON.stringify(args);
    for (let number = 0; number < ATTEMPTS; number++) {
        const found = await attempt(method, body);
        if (found?.status === 200) {
            return found.answer;
        }
        if (found?.status === 422 && found.answer.name.endsWith("BridgeError")) {
            throw new Refused(...found.answer.arguments);
        }
        if (found) {
            throw new Error(`${method}: HTTP ${found.status}`);
        }
        await pause((0.5 + Math.random() / 2) * 1000 * 2 ** number);
    }
    throw new Error(`${method}: no answer; run this program again later`);
}

const row = (beneficiary, amount) => ({
    mis_reference_number: `${CYCLE}-${beneficiary}`,
    beneficiary_id: beneficiary,
    beneficiary_name: `Person ${beneficiary}`,
    disbursement_amount: amount,
    narrative: "Child benefit",
});

async function createEnvelope() {
    const count = Object.keys(AMOUNTS).length;
    const answer = await call("create_disbursement_envelope", {
        benefit_program_mnemonic: PROGRAM,
        disbursement_frequency: "Monthly",
        cycle_code_mnemonic: CYCLE,
        number_of_beneficiaries: count,
        number_of_disbursements: count,
        total_disbursement_amount: TOTAL,
        disbursement_currency_code: "USD",
        disbursement_schedule_date: new Date().toISOString().slice(0, 10),
        idempotency_key: KEY,
    });
    return answer.disbursement_envelope_id;
}

/** Send rows; all that is wrong with them comes back at once, and nothing was stored. */
const send = (envelope, rows) =>
    call("create_disbursements", {
        disbursement_envelope_id: envelope,
        disbursements: rows,
        idempotency_key: `${KEY}-1`,
    });

/** Return how each payment ended; a real program stores cursor and states in its database. */
async function follow(ids) {
    const states = new Map(ids.map((id) => [id, ""]));
    const end = Date.now() + LONGEST_MS;
    let cursor = "";
    while (![...states.values()].every((state) => ENDED.includes(state))) {
        if (Date.now() > end) {
            throw new Error("the payments have not ended in time");
        }
        const page = await call("get_disbursement_changes", { cursor, limit: 1000 });
        for (const change of page.changes) {
            if (states.has(change.disbursement_id)) {
                states.set(change.disbursement_id, change.status);
            }
        }
        cursor = page.cursor;
        if (!page.has_more) {
            await pause(1000);
        }
    }
    return states;
}

const envelope = await createEnvelope();
try {
    await send(envelope, [row("BEN000001", "100.505")]); // a tenth of a cent
} catch (error) {
    if (!(error instanceof Refused)) {
        throw error;
    }
    for (const each of error.rows) {
        console.log("refused", error.code, each.index, ...each.response_error_codes);
    }
}
const sent = await send(
    envelope,
    Object.entries(AMOUNTS).map(([beneficiary, amount]) => row(beneficiary, amount)),
);
const states = await follow(sent.map((each) => each.disbursement_id));
for (const each of sent) {
    console.log(each.mis_reference_number, each.disbursement_id, states.get(each.disbursement_id));
}
const status = await call("get_disbursement_envelope_status", {
    disbursement_envelope_id: envelope,
});
const paid = status.total_disbursement_amount_reconciled.toFixed(2);
console.log("paid", status.number_of_disbursements_reconciled, paid);
if (paid !== TOTAL) {
    throw new Error("not everybody was paid");
}
