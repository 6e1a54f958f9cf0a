#!/usr/bin/env bash
# Pays three people and follows them to the end, with curl and jq.
#
# Takes BRIDGE_URL, BRIDGE_DB, PBMS_KEY, PROGRAM and CYCLE from the environment. Run it as often as
# you like: nobody is paid twice.
set -euo pipefail
export LC_ALL=C

program=${PROGRAM:-CHILD}
cycle=${CYCLE:-2026-11}
key=$program-$cycle-regular
longest_s=600
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

call() { # METHOD: its arguments, as JSON, from standard input; prints the HTTP status
    # Repeated while there is no answer, or one of 429 and 5xx: so only calls that may be repeated,
    # questions and those with an idempotency key. A refusal (422) is an answer.
    # The key comes by a file: the command line can be read by every user of the machine.
    curl --silent --show-error --data-binary @- --output "$answer" --write-out '%{http_code}' \
        --retry 6 --retry-all-errors --connect-timeout 10 --max-time 150 \
        --header "Content-Type: application/json" --header "X-Odoo-Database: $BRIDGE_DB" \
        --config <(printf 'header = "Authorization: bearer %s"\n' "$PBMS_KEY") \
        "$BRIDGE_URL/json/2/g2p.bridge/$1"
}

must() { # METHOD: as call; ends the script where the answer is not 200
    local status
    status=$(call "$1")
    if [ "$status" != 200 ]; then
        echo "$1: HTTP $status $(jq -c '.arguments // .message' "$answer" || true)" >&2
        exit 1
    fi
}

rows() { # AMOUNT...: the rows of BEN000001, BEN000002 ..., as JSON
    jq -n --arg cycle "$cycle" '[$ARGS.positional | to_entries[] |
        ("BEN00000" + (.key + 1 | tostring)) as $person |
        {mis_reference_number: ($cycle + "-" + $person), beneficiary_id: $person,
         beneficiary_name: ("Person " + $person), disbursement_amount: .value,
         narrative: "Child benefit"}]' --args "$@"
}

disbursements() { # AMOUNT...: the arguments of create_disbursements, as JSON
    jq -n --arg envelope "$envelope" --arg key "$key-1" --argjson rows "$(rows "$@")" \
        '{disbursement_envelope_id: $envelope, disbursements: $rows, idempotency_key: $key}'
}

# 1. The envelope: what will come
jq -n --arg program "$program" --arg cycle "$cycle" --arg key "$key" --arg day "$(date -u +%F)" \
    '{benefit_program_mnemonic: $program, disbursement_frequency: "Monthly",
      cycle_code_mnemonic: $cycle, number_of_beneficiaries: 3, number_of_disbursements: 3,
      total_disbursement_amount: "157.75", disbursement_currency_code: "USD",
      disbursement_schedule_date: $day, idempotency_key: $key}' |
    must create_disbursement_envelope
envelope=$(jq -r .disbursement_envelope_id "$answer")

# 2. A row with a tenth of a cent: refused as a whole, nothing was stored
status=$(disbursements 100.505 | call create_disbursements)
if [ "$status" = 422 ]; then
    jq -r '.arguments[0] as $code | .arguments[1][] |
        "refused \($code) \(.index) \(.response_error_codes | join(" "))"' "$answer"
fi

# 3. The payments
disbursements 100.50 50.00 7.25 | must create_disbursements
sent=$(jq -r '.[] | "\(.disbursement_id) \(.mis_reference_number)"' "$answer")

# 4. To the end: the state of each payment comes from the changes since the last cursor
declare -A states
cursor=""
end=$((SECONDS + longest_s))
ended=0
while [ "$ended" -lt 3 ]; do
    [ "$SECONDS" -lt "$end" ] || { echo "not ended after $longest_s s" >&2; exit 1; }
    jq -n --arg cursor "$cursor" '{cursor: $cursor, limit: 1000}' | must get_disbursement_changes
    while read -r id state; do
        states[$id]=$state
    done < <(jq -r '.changes[] | "\(.disbursement_id) \(.status)"' "$answer")
    cursor=$(jq -r .cursor "$answer")
    ended=0
    while read -r id _reference; do
        case ${states[$id]:-} in reconciled | reversed | rejected | cancelled) ended=$((ended + 1)) ;; esac
    done <<<"$sent"
    [ "$(jq -r .has_more "$answer")" = true ] || sleep 1
done
while read -r id reference; do
    echo "$reference $id ${states[$id]}"
done <<<"$sent"

# 5. The totals
jq -n --arg envelope "$envelope" '{disbursement_envelope_id: $envelope}' |
    must get_disbursement_envelope_status
printf 'paid %d %.2f\n' \
    "$(jq .number_of_disbursements_reconciled "$answer")" \
    "$(jq .total_disbursement_amount_reconciled "$answer")"
jq -e '.total_disbursement_amount_reconciled == 157.75' "$answer" >/dev/null
