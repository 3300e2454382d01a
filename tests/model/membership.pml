/*
 * Two masters, three peers, one run: can the run be split? A model of src/membership for Spin; docs/parts/membership.md,
 * "Model", says what is left out Views are known by the number of the view change that made them (0: none, 1: the
 * first); sets of peers and of views are bit masks. One step of the loop at the end is one event at one machine, with
 * all that the machine does at once because of it. MUTANT_NAME breaks a rule; scripts/model.mk has those that are found.
 */
#ifndef FIRST
#define FIRST 7 /* members of the first view; the others are newcomers */
#endif
#ifndef VIEWS
#define VIEWS 4 /* view changes begun, plus one */
#endif
#ifndef FAULTS
#define FAULTS 1 /* crashes of masters, deaths, silences and evictions of peers, all together */
#endif
#ifndef MOVES
#define MOVES 3 /* connections that peers give up */
#endif
#define EPOCHS 12
#define CALLER 1   /* states of a client: REGISTER is on its way, */
#define WAITING 2  /* newcomer, */
#define RETURNED 3 /* came with a claim, */
#define SEATED 4   /* member of the view in force here */
#define INSTALL 16 /* messages: PREPARE is the number of the view, INSTALL this more */
#define EVICT 32
#define BYE 33

#define BIT(i) (1 << (i))
#define POP(k) (((k) & 1) + (((k) >> 1) & 1) + (((k) >> 2) & 1))
#define LOW(k) ((k) & (~(k) + 1))
#define C(m, p) ((m) * 3 + (p))
#define IN(m, s) ((st[C(m, 0)] == s) | ((st[C(m, 1)] == s) << 1) | ((st[C(m, 2)] == s) << 2))

/* views: members, epoch, the one before */
byte members[VIEWS + 1], epoch[VIEWS + 1], before[VIEWS + 1], views = 1;
/* peers: master + 1, view in force, promises, the one of this connection */
byte link[3], inst[3], prom[3], prom_now[3], frozen, alive = 7, gone;
chan down[3] = [4] of { byte };
/* masters' clients: state, view and promises that they told of */
byte st[6], ci[6], cp[6];
/* masters: struct pccl_group */
byte base[2], claims[2], promises[2], proven[2], dead[2], top[2], mine[2];
byte cut[2]; /* clients whose connection ended with the peer, not by ABANDON */
byte out[2], awaited[2], admitting[2], change[2], asked[2], prepared[2];
bool flush[2], broken[2], ended[2];
byte faults = FAULTS, moves = MOVES;
byte had[VIEWS + 1]; /* for the properties: who ever installed it */
byte p, m, event;
bool look;
#ifdef MUTANT_REPLACE
byte began[2]; /* whatever this life of the master began */
#endif
byte i, j, k, here, s, who, best, tried, message, ok, loyal;

/* is_majority: of those not surely dead; half with the lowest rank */
#define LIVING(set, h) ((set) & ~(dead[m] & ~(h)))
#ifdef MUTANT_MINORITY
#define QUORUM(set, h) (((set) & (h)) != 0)
#elif defined(MUTANT_HALF)
#define QUORUM(set, h) (2 * POP((set) & (h)) >= POP(LIVING(set, h)))
#else
#define QUORUM(set, h) (2 * POP((set) & (h)) > POP(LIVING(set, h)) || (2 * POP((set) & (h)) == POP(LIVING(set, h)) && \
			(LIVING(set, h) == 0 || (LOW(LIVING(set, h)) & (h)))))
#endif
/* pccl_promise_counts */
#define COUNTS(v) ((promises[m] & BIT(v)) && ((proven[m] & BIT(v)) || !loyal))
#define MEMBERS_HERE IN(m, SEATED)
#define LOYAL_COUNT ((st[C(m, 0)] == SEATED && cp[C(m, 0)] == 0) + (st[C(m, 1)] == SEATED && cp[C(m, 1)] == 0) + \
		     (st[C(m, 2)] == SEATED && cp[C(m, 2)] == 0))
#define PROMISED_NOTHING (base[m] != 0 && 2 * LOYAL_COUNT > POP(members[base[m]]))

/* A view change is called off: pccl_group_drop_change, pccl_admission_call_off */
inline call_off() { change[m] = 0; asked[m] = 0; prepared[m] = 0; broken[m] = 0; admitting[m] = 0 }
inline drop_base() { base[m] = 0; flush[m] = 0; out[m] = 0; awaited[m] = 0 }
inline send(to, what) { if :: link[to] == m + 1 -> down[to]!what :: else fi }

/* pccl_client_lose, whatever the loss does to the seat */
inline lose(x)
{
	if :: asked[m] & BIT(x) -> broken[m] = 1 :: else fi;
	st[C(m, x)] = 0; ci[C(m, x)] = 0; cp[C(m, x)] = 0;
	admitting[m] = admitting[m] & ~BIT(x);
	cut[m] = cut[m] & ~BIT(x)
}
/* pccl_client_dismiss */
inline evict(x)
{
	send(x, EVICT);
	if :: st[C(m, x)] == SEATED -> out[m] = out[m] | BIT(x) :: else fi;
	lose(x)
}
/* pccl_group_learn_promises of one client */
inline learn(x)
{
	for (s : 1 .. VIEWS) {
		if
		:: cp[C(m, x)] & BIT(s) ->
			if :: epoch[s] > top[m] -> top[m] = epoch[s] :: else fi;
			if
			:: (mine[m] & BIT(s)) || (base[m] != 0 && epoch[s] <= epoch[base[m]])
			:: else ->
				promises[m] = promises[m] | BIT(s);
				if :: st[C(m, x)] >= RETURNED -> proven[m] = proven[m] | BIT(s) :: else fi
			fi
		:: else
		fi
	}
}
/* pccl_group_forget: what this master did until now it does not know any more */
inline forget()
{
	dead[m] = 0; promises[m] = 0; proven[m] = 0;
#ifndef MUTANT_TENURE
	mine[m] = 0;
#endif
	for (who : 0 .. 2) { if :: st[C(m, who)] >= WAITING -> learn(who) :: else fi }
}
/* pccl_quorum_of_promises beyond the epoch of view v */
inline ask_promises(v, h)
{
	for (s : 1 .. VIEWS) {
		if :: COUNTS(s) && epoch[s] > epoch[v] && !QUORUM(members[s], h) -> ok = false :: else fi
	}
}
/* gather, can_act: may this master go on from claim v? */
inline can_act(v)
{
	here = 0;
	for (who : 0 .. 2) {
		if
		:: (members[v] & BIT(who)) && ((st[C(m, who)] == WAITING && ci[C(m, who)] == 0) || (st[C(m, who)] == RETURNED
#ifndef MUTANT_FOLLOW
			&& (ci[C(m, who)] == v || ci[C(m, who)] == before[v])
#endif
			)) -> here = here | BIT(who)
		:: else
		fi
	}
	ok = here != 0 && QUORUM(members[v], here);
#ifndef MUTANT_LATER
	for (s : 1 .. VIEWS) {
		if :: (claims[m] & BIT(s)) && epoch[s] > epoch[v] && !QUORUM(members[s], here) -> ok = false :: else fi
	}
#endif
	ask_promises(v, here | IN(m, WAITING))
}
/* act: goes on from claim v */
inline act(v)
{
	for (s : 1 .. VIEWS) {
		if /* pccl_return_remember */
		:: (claims[m] & BIT(s)) && epoch[s] > epoch[v] ->
			promises[m] = promises[m] | BIT(s); proven[m] = proven[m] | BIT(s)
		:: else
		fi
	}
	if :: epoch[v] > top[m] -> top[m] = epoch[v] :: else fi;
	claims[m] = 0;
	for (s : 1 .. VIEWS) {
		if /* prune_promises */
		:: epoch[s] <= epoch[v] -> promises[m] = promises[m] & ~BIT(s); proven[m] = proven[m] & ~BIT(s)
		:: (promises[m] & BIT(s)) && epoch[s] > top[m] -> top[m] = epoch[s]
		:: else
		fi
	}
	drop_base();
	base[m] = v;
	top[m]++;
#ifndef MUTANT_TENURE
	mine[m] = 0;
#endif
	for (who : 0 .. 2) {
		if /* seat_all, evict_others */
		:: here & BIT(who) ->
			st[C(m, who)] = SEATED; admitting[m] = admitting[m] & ~BIT(who);
			if :: ci[C(m, who)] != v || cp[C(m, who)] != 0 -> flush[m] = 1 :: else fi
		:: else ->
			if :: members[v] & BIT(who) -> flush[m] = 1 :: else fi;
			if :: st[C(m, who)] == RETURNED -> evict(who) :: else fi
		fi
	}
	if :: promises[m] != 0 -> flush[m] = 1 :: else fi
}
/* pccl_return_evaluate; `late`: the grace is over */
inline return_evaluate(late)
{
	if
	:: IN(m, RETURNED) == 0 -> claims[m] = 0; forget()
	:: else ->
		tried = 0; /* the highest claim first, until one will do */
		do
		:: (claims[m] & ~tried) == 0 -> break
		:: else ->
			best = 0;
			for (s : 1 .. VIEWS) {
				if :: (claims[m] & ~tried & BIT(s)) && (best == 0 || epoch[s] > epoch[best]) -> best = s :: else fi
			}
			tried = tried | BIT(best);
			can_act(best);
			if
			:: !ok
			:: ok && top[m] + 2 < EPOCHS && (late || (members[best] & ~here & ~dead[m]) == 0) -> act(best); break
			:: else -> break
			fi
		od
	fi
}
/* end_run: nobody is left of the view here */
inline end_run()
{
	k = base[m];
	j = members[k] & ~out[m];
	if :: j == 0 -> ended[m] = 1 :: else fi;
	call_off();
	drop_base();
	if :: j != 0 -> forget(); promises[m] = promises[m] | BIT(k); proven[m] = proven[m] | BIT(k) :: else fi
}
/* start_change, tell_laggards, give_up_missing; i: members of the next view, j: with witnesses */
inline start_change()
{
	views++;
#ifdef MUTANT_EPOCH
	epoch[views] = epoch[base[m]] + 1;
#else
	epoch[views] = top[m] + 1;
#endif
	if :: epoch[views] > top[m] -> top[m] = epoch[views] :: else fi;
	members[views] = i;
	before[views] = base[m];
	change[m] = views; asked[m] = j; prepared[m] = 0; broken[m] = 0;
	mine[m] = mine[m] | BIT(views);
#ifdef MUTANT_REPLACE
	began[m] = began[m] | BIT(views);
#endif
	out[m] = out[m] | (members[base[m]] & ~MEMBERS_HERE);
	for (who : 0 .. 2) {
		if
		:: st[C(m, who)] == SEATED && ci[C(m, who)] != base[m] ->
			send(who, INSTALL + base[m]); ci[C(m, who)] = base[m]
		:: else
		fi;
		if :: j & BIT(who) -> send(who, views) :: else fi
	}
}
/* pccl_change_install: adopt, announce */
inline install()
{
	k = change[m];
	call_off();
	drop_base();
	base[m] = k;
	promises[m] = 0; proven[m] = 0; dead[m] = 0;
	for (who : 0 .. 2) {
		if
		:: members[k] & BIT(who) ->
			st[C(m, who)] = SEATED; ci[C(m, who)] = k; cp[C(m, who)] = 0;
			send(who, INSTALL + k)
		:: else
		fi
	}
}
/* pccl_change_evaluate, draft_change, has_quorum */
inline change_evaluate()
{
	loyal = PROMISED_NOTHING;
	if :: base[m] != 0 && awaited[m] == 0 && MEMBERS_HERE == 0 -> end_run() :: else fi;
	if
	:: base[m] != 0 && awaited[m] == 0 &&
	   (MEMBERS_HERE != members[base[m]] || flush[m] || admitting[m] || change[m] != 0) ->
		i = MEMBERS_HERE | admitting[m];
		j = i;
		for (s : 1 .. VIEWS) {
			if :: COUNTS(s) -> j = j | (members[s] & IN(m, WAITING)) :: else fi
		}
		ok = QUORUM(members[base[m]], MEMBERS_HERE);
		ask_promises(base[m], j);
#ifdef MUTANT_WITNESS
		j = i;
#endif
		if
		:: !ok
		:: ok && (change[m] == 0 || broken[m] || asked[m] != j || members[change[m]] != i) ->
			if :: views < VIEWS && top[m] + 1 < EPOCHS -> start_change() :: else fi
		:: ok && change[m] != 0 && !broken[m] && asked[m] == j && members[change[m]] == i ->
#ifdef MUTANT_UNANSWERED
			if :: QUORUM(members[change[m]], prepared[m]) -> install() :: else fi
#else
			if :: prepared[m] == asked[m] -> install() :: else fi
#endif
		fi
	:: else
	fi
}
/* on_return, on_fresh, take_seat, pccl_return_claim, pccl_return_dissolve: REGISTER of p */
inline take_seat()
{
	if
	:: !(members[base[m]] & BIT(p)) || (out[m] & BIT(p)) ||
	   (ci[C(m, p)] != 0 && ci[C(m, p)] != base[m] && ci[C(m, p)] != before[base[m]]) -> evict(p)
	:: else ->
		st[C(m, p)] = SEATED;
		awaited[m] = awaited[m] & ~BIT(p); admitting[m] = admitting[m] & ~BIT(p);
		if :: ci[C(m, p)] != base[m] || cp[C(m, p)] != 0 -> flush[m] = 1 :: else fi
	fi
}
inline dissolve()
{
	call_off();
	claims[m] = claims[m] | BIT(base[m]);
	for (who : 0 .. 2) {
		if :: st[C(m, who)] == SEATED -> st[C(m, who)] = (ci[C(m, who)] != 0 -> RETURNED : WAITING) :: else fi
	}
	drop_base()
}
inline on_register()
{
	st[C(m, p)] = WAITING;
	if
	:: ci[C(m, p)] == 0 && cp[C(m, p)] == 0 && base[m] == 0 && claims[m] == 0 ->
		send(p, BYE); lose(p) /* welcome(..., false): no group here */
	:: ci[C(m, p)] == 0 && base[m] != 0 && (members[base[m]] & BIT(p)) -> take_seat()
	:: ci[C(m, p)] != 0 && ended[m] -> evict(p)
	:: ci[C(m, p)] != 0 && !ended[m] ->
		ok = true;
		if
		:: base[m] != 0 && epoch[ci[C(m, p)]] > epoch[base[m]] ->
			if :: PROMISED_NOTHING -> ok = false; evict(p) :: else -> dissolve() fi
		:: else
		fi;
		if
		:: !ok
		:: ok && base[m] != 0 -> take_seat()
		:: else ->
			if :: !(claims[m] & BIT(ci[C(m, p)])) -> call_off() :: else fi;
			claims[m] = claims[m] | BIT(ci[C(m, p)]);
			st[C(m, p)] = RETURNED
		fi
	:: else
	fi;
	if :: st[C(m, p)] != 0 -> learn(p) :: else fi
}

/* The properties: what must hold whenever a view comes in force at a peer, or a peer dies. */
#define LIVES(x) ((alive & ~gone) & BIT(x))
#define USERS(v) ((LIVES(0) && inst[0] == v) | ((LIVES(1) && inst[1] == v) << 1) | ((LIVES(2) && inst[2] == v) << 2))
#define IN_USE(v) (members[v] != 0 && USERS(v) == members[v])
inline check()
{
	tried = 0; /* views that somebody went on from */
	for (i : 2 .. VIEWS) { if :: had[i] != 0 -> tried = tried | BIT(before[i]) :: else fi }
	for (i : 1 .. VIEWS) {
		for (j : 1 .. VIEWS) {
			if
			:: i < j && had[i] != 0 && had[j] != 0 ->
				assert(epoch[i] != epoch[j]); /* an epoch of a run names one view */
				assert(!IN_USE(i) || !IN_USE(j)); /* no two parts that both work */
				if
				:: before[i] == before[j] -> /* one of them goes on, and one at most has had a majority */
					assert(!(tried & BIT(i)) || !(tried & BIT(j)));
					assert(2 * POP(had[i]) <= POP(members[i]) || 2 * POP(had[j]) <= POP(members[j]));
#ifdef WITNESS_PASSED_OVER
					assert(false) /* no fault: a minority may have a view that the others pass over */
#endif
				:: else
				fi
			:: else
			fi
		}
	}
}
/* pccl_peer_abandon, pccl_peer_on_closed: what was on its way to the peer is lost */
inline hang_up(x)
{
	do :: len(down[x]) > 0 -> down[x]?message :: else -> break od;
	link[x] = 0; prom_now[x] = 0;
#ifdef MUTANT_FORGETFUL
	prom[x] = 0
#endif
}
/* pccl_peer_on_prepare, remember_promise; pccl_master_on_prepared, for that changes nothing before the last answer */
inline on_prepare()
{
	if
	:: epoch[message] > epoch[inst[p]] ->
		prom[p] = (prom[p] & ~BIT(prom_now[p])) | BIT(message);
#ifdef MUTANT_REPLACE
		prom[p] = (prom[p] & ~began[m]) | BIT(message);
#endif
		prom_now[p] = message;
		frozen = frozen | BIT(p);
		if :: st[C(m, p)] >= WAITING && change[m] == message -> prepared[m] = prepared[m] | BIT(p) :: else fi;
		look = 1
	:: else
	fi
}
/* fits, pccl_peer_on_install, forget_promises */
inline on_install()
{
	k = message - INSTALL;
	if
	:: epoch[k] > epoch[inst[p]] && (members[k] & BIT(p)) && (inst[p] == 0 || ((frozen & BIT(p))
#ifndef MUTANT_FITS
		&& epoch[before[k]] == epoch[inst[p]]
#endif
		)) ->
		assert(inst[p] == 0 || before[k] == inst[p]); /* a view follows the one before */
		inst[p] = k;
		had[k] = had[k] | BIT(p);
		frozen = frozen & ~BIT(p);
		for (s : 1 .. VIEWS) { if :: epoch[s] <= epoch[k] -> prom[p] = prom[p] & ~BIT(s) :: else fi }
		if :: !(prom[p] & BIT(prom_now[p])) -> prom_now[p] = 0 :: else fi;
		check()
	:: else -> hang_up(p)
	fi
}
inline receive()
{
	down[p]?message;
	if
	:: message == EVICT -> gone = gone | BIT(p); hang_up(p)
	:: message == BYE -> hang_up(p)
	:: message < INSTALL -> on_prepare()
	:: else -> on_install()
	fi
}
/* A new life of the master, which knows nothing. */
inline crash()
{
	for (who : 0 .. 2) { lose(who) }
	call_off(); drop_base();
	claims[m] = 0; promises[m] = 0; proven[m] = 0; dead[m] = 0; top[m] = 0; mine[m] = 0; ended[m] = 0
#ifdef MUTANT_REPLACE
	; began[m] = 0
#endif
}
/* evaluate, forget_empty */
inline evaluate()
{
	if :: claims[m] != 0 -> return_evaluate(event == 6) :: else fi;
	if :: claims[m] == 0 -> change_evaluate() :: else fi;
	if
	:: base[m] == 0 && claims[m] == 0 && (IN(m, WAITING) | IN(m, RETURNED)) == 0 -> forget(); admitting[m] = 0
	:: else
	fi
}

/* What may happen next, and to whom. */
#define ROOM (len(down[0]) < 3 && len(down[1]) < 3 && len(down[2]) < 3) /* a step says at most two things to a peer */
#define CAN_DIAL(p, m) (LIVES(p) && link[p] == 0 && st[C(m, p)] == 0)
#define CAN_REGISTER(p, m) (st[C(m, p)] == CALLER)
#define CAN_RECEIVE(p, m) (LIVES(p) && link[p] == m + 1 && len(down[p]) > 0)
#define CAN_MOVE(p, m) (link[p] == m + 1 && moves > 0)
#define CAN_END(p, m) (st[C(m, p)] != 0 && link[p] != m + 1)
#define CAN_TIRE(p, m) (p == 0 && (claims[m] != 0 || awaited[m] != 0))
#define CAN_FLUSH(p, m) (p == 0 && base[m] != 0 && change[m] == 0 && !flush[m] && views < VIEWS)
#define CAN_ADMIT(p, m) (st[C(m, p)] == WAITING && base[m] != 0 && change[m] == 0 && views < VIEWS)
#define CAN_LOSE(p, m) (faults > 0 && st[C(m, p)] == SEATED)
#define CAN_CRASH(p, m) (faults > 0 && p == 0 && top[m] > 0)
#define CAN_DIE(p, m) (faults > 0 && m == 0 && LIVES(p))
#define ONE(can, what, x, y) :: ROOM && can(x, y) -> p = x; m = y; event = what
#define EACH(can, what) ONE(can, what, 0, 0) ONE(can, what, 1, 0) ONE(can, what, 2, 0) \
	ONE(can, what, 0, 1) ONE(can, what, 1, 1) ONE(can, what, 2, 1)

inline dial() /* pccl_peer_dial, send_register */
{
	link[p] = m + 1; st[C(m, p)] = CALLER; ci[C(m, p)] = inst[p];
#ifndef MUTANT_UNTOLD
	cp[C(m, p)] = prom[p]
#endif
}
inline see_end() /* of a connection, at the master: pccl_client_lose as PCCL_LOSS_AWAY or PCCL_LOSS_DEAD */
{
#ifdef MUTANT_DEAD
	cut[m] = cut[m] | BIT(p);
#endif
	if :: (cut[m] & BIT(p)) && st[C(m, p)] != CALLER -> dead[m] = dead[m] | BIT(p) :: else fi;
	if
	:: st[C(m, p)] == SEATED && (cut[m] & BIT(p)) -> out[m] = out[m] | BIT(p)
	:: st[C(m, p)] == SEATED && !(cut[m] & BIT(p)) -> awaited[m] = awaited[m] | BIT(p)
	:: else
	fi;
	lose(p)
}
inline die()
{
	alive = alive & ~BIT(p);
	if :: link[p] != 0 && st[C(link[p] - 1, p)] != 0 -> cut[link[p] - 1] = cut[link[p] - 1] | BIT(p) :: else fi;
	hang_up(p);
	check()
}

active proctype world()
{
	d_step { /* everybody is at the first master */
		members[1] = FIRST; epoch[1] = 1; base[0] = 1; top[0] = 1;
		for (p : 0 .. 2) {
			if
			:: FIRST & BIT(p) -> inst[p] = 1; had[1] = had[1] | BIT(p); link[p] = 1; st[p] = SEATED; ci[p] = 1
			:: else
			fi
		}
		p = 0; 
	}
	do
	:: atomic {
		if
		EACH(CAN_DIAL, 1) EACH(CAN_REGISTER, 2) EACH(CAN_RECEIVE, 3) EACH(CAN_MOVE, 4) EACH(CAN_END, 5)
		EACH(CAN_TIRE, 6) EACH(CAN_FLUSH, 7) EACH(CAN_ADMIT, 8)
		EACH(CAN_LOSE, 9) EACH(CAN_LOSE, 10) EACH(CAN_CRASH, 11) EACH(CAN_DIE, 12)
		fi;
		d_step {
			look = event != 1 && event != 3 && event != 4 && event < 11;
			if
			:: event == 1 -> dial()
			:: event == 2 -> on_register()
			:: event == 3 -> receive()
			:: event == 4 -> moves--; hang_up(p)
			:: event == 5 -> see_end()
			:: event == 6 -> awaited[m] = 0 /* the grace is over */
			:: event == 7 -> flush[m] = 1 /* pccl_master_on_expired, or other cause for a view change */
			:: event == 8 -> admitting[m] = admitting[m] | BIT(p) /* pccl_admission_choose */
			:: event == 9 -> faults--; lose(p) /* give_up: silent */
			:: event == 10 -> faults--; evict(p) /* pccl_complaints_judge */
			:: event == 11 -> faults--; crash()
			:: event == 12 -> faults--; die()
			fi;
			if :: look -> evaluate() :: else fi;
			i = 0; j = 0; k = 0; here = 0; s = 0; who = 0; best = 0; tried = 0; message = 0; ok = 0; loyal = 0;
			look = 0; event = 0; p = 0; m = 0
		}
	}
	od
}
