-- The tables of the first schema, as revision 0001 makes them. Later revisions change them; this file never does.

CREATE TABLE access_log.head (
	log SMALLINT NOT NULL,
	origin TEXT NOT NULL,
	size BIGINT NOT NULL,
	chain BYTEA NOT NULL,
	time BIGINT NOT NULL,
	frontier BYTEA NOT NULL,
	PRIMARY KEY (log),
	UNIQUE (origin)
);

COMMENT ON COLUMN access_log.head.time IS 'of the newest entry, ms since the epoch, UTC';

COMMENT ON COLUMN access_log.head.frontier IS 'roots of the full subtrees, largest first';

CREATE TABLE access_log.entry (
	log SMALLINT NOT NULL,
	index BIGINT NOT NULL,
	entry BYTEA NOT NULL,
	PRIMARY KEY (log, index),
	CONSTRAINT entry_is_106_bytes CHECK (octet_length(entry) = 106)
)
 PARTITION BY RANGE (index);

CREATE INDEX entry_by_label ON access_log.entry (substring("entry" from 43 for 32));

CREATE TABLE access_log.payload (
	log SMALLINT NOT NULL,
	index BIGINT NOT NULL,
	expiry_id INTEGER NOT NULL,
	sealed BYTEA NOT NULL,
	PRIMARY KEY (log, index)
);

CREATE INDEX payload_by_expiry ON access_log.payload (expiry_id);

COMMENT ON COLUMN access_log.payload.expiry_id IS 'yyyymm in which its retention ends';

CREATE TABLE access_log.tile (
	log SMALLINT NOT NULL,
	level SMALLINT NOT NULL,
	index BIGINT NOT NULL,
	hashes BYTEA NOT NULL,
	root BYTEA NOT NULL,
	PRIMARY KEY (log, level, index)
);

COMMENT ON COLUMN access_log.tile.root IS 'the hash this tile gives to the level above';

CREATE TABLE access_log.stream (
	stream_id BYTEA NOT NULL,
	kind SMALLINT NOT NULL,
	master SMALLINT NOT NULL,
	month INTEGER NOT NULL,
	seq BIGINT NOT NULL,
	last_leaf BYTEA NOT NULL,
	PRIMARY KEY (stream_id)
);

COMMENT ON COLUMN access_log.stream.master IS 'version of the label master';

COMMENT ON COLUMN access_log.stream.month IS 'yyyymm of the newest entry, UTC; 0 before the first';

COMMENT ON COLUMN access_log.stream.seq IS 'number of the newest entry within its month';

CREATE TABLE access_log.request (
	log SMALLINT NOT NULL,
	index BIGINT NOT NULL,
	request_id UUID NOT NULL,
	client UUID NOT NULL,
	idempotency_key BYTEA,
	body BYTEA NOT NULL,
	time TIMESTAMP WITH TIME ZONE NOT NULL,
	PRIMARY KEY (log, index),
	UNIQUE (request_id)
);

CREATE INDEX request_by_idempotency_key ON access_log.request (client, idempotency_key) WHERE idempotency_key IS NOT NULL;

COMMENT ON COLUMN access_log.request.idempotency_key IS 'digest of the key, or null';

COMMENT ON COLUMN access_log.request.body IS 'digest of grant and body';

CREATE TABLE consent.body (
	body_id UUID NOT NULL,
	uscc TEXT NOT NULL,
	name TEXT NOT NULL,
	kind TEXT NOT NULL,
	contact JSONB NOT NULL,
	jwks JSONB NOT NULL,
	redirect_uris TEXT[] NOT NULL,
	purposes TEXT[] NOT NULL,
	capacities TEXT[] NOT NULL,
	status TEXT NOT NULL,
	status_reason TEXT,
	status_since TIMESTAMP WITH TIME ZONE NOT NULL,
	appeal TEXT,
	registered_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT body_pkey PRIMARY KEY (body_id),
	CONSTRAINT body_uscc_check CHECK (uscc ~ '^[0-9A-Z]{18}$'),
	CONSTRAINT body_kind_check CHECK (kind ~ '^[a-z][a-z-]*$'),
	CONSTRAINT body_capacities_check CHECK (cardinality(capacities) > 0 AND capacities <@ ARRAY['ask', 'furnish', 'inspect']),
	CONSTRAINT body_status_check CHECK (status IN ('active', 'suspended', 'struck-off')),
	CONSTRAINT body_status_reason_check CHECK (status = 'active' OR status_reason IS NOT NULL),
	CONSTRAINT body_uscc_key UNIQUE (uscc)
);

COMMENT ON COLUMN consent.body.body_id IS 'also the OAuth client_id';

COMMENT ON COLUMN consent.body.uscc IS 'unified social credit code, GB 32100';

COMMENT ON COLUMN consent.body.contact IS '{address, contact}, for citizens';

COMMENT ON COLUMN consent.body.jwks IS 'public keys only';

COMMENT ON COLUMN consent.body.purposes IS 'certified purposes';

COMMENT ON COLUMN consent.body.appeal IS 'where the status can be appealed, or what became of the appeal';

CREATE TABLE consent.registrar (
	registrar_id UUID NOT NULL,
	name TEXT NOT NULL,
	jwk JSONB NOT NULL,
	thumbprint TEXT NOT NULL,
	status TEXT NOT NULL,
	status_since TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT registrar_pkey PRIMARY KEY (registrar_id),
	CONSTRAINT registrar_status_check CHECK (status IN ('active', 'stood-down')),
	CONSTRAINT registrar_thumbprint_key UNIQUE (thumbprint)
);

COMMENT ON COLUMN consent.registrar.jwk IS 'public key that verifies this registrar''s statements';

COMMENT ON COLUMN consent.registrar.thumbprint IS 'RFC 7638, SHA-256, base64url';

CREATE TABLE consent.legal_basis (
	basis_id UUID NOT NULL,
	code TEXT NOT NULL,
	title TEXT NOT NULL,
	article TEXT NOT NULL,
	jurisdiction TEXT NOT NULL,
	in_force_from DATE NOT NULL,
	in_force_until DATE,
	purposes TEXT[] NOT NULL,
	categories TEXT[] NOT NULL,
	notice_delay_days INTEGER NOT NULL,
	CONSTRAINT legal_basis_pkey PRIMARY KEY (basis_id),
	CONSTRAINT legal_basis_in_force_check CHECK (in_force_until IS NULL OR in_force_until >= in_force_from),
	CONSTRAINT legal_basis_notice_delay_check CHECK (notice_delay_days >= 0),
	CONSTRAINT legal_basis_code_key UNIQUE (code)
);

COMMENT ON COLUMN consent.legal_basis.in_force_from IS 'first day, in the jurisdiction''s time zone';

COMMENT ON COLUMN consent.legal_basis.in_force_until IS 'last day';

COMMENT ON COLUMN consent.legal_basis.notice_delay_days IS '0: notice may not be delayed';

CREATE TABLE consent.register_event (
	event_id UUID NOT NULL,
	object_id UUID NOT NULL,
	event TEXT NOT NULL,
	at TIMESTAMP WITH TIME ZONE NOT NULL,
	document TEXT NOT NULL,
	CONSTRAINT register_event_pkey PRIMARY KEY (event_id)
);

CREATE INDEX register_event_of_object ON consent.register_event (object_id, at);

COMMENT ON COLUMN consent.register_event.object_id IS 'body, officer, registrar, basis or authorization';

COMMENT ON COLUMN consent.register_event.document IS 'JSON; its SHA-256 stands in the access log';

CREATE TABLE consent.client_assertion (
	body_id UUID NOT NULL,
	jti_hash BYTEA NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT client_assertion_pkey PRIMARY KEY (body_id, jti_hash)
);

COMMENT ON COLUMN consent.client_assertion.jti_hash IS 'SHA-256 of the assertion''s jti';

CREATE TABLE consent.dpop_proof (
	proof_hash BYTEA NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT dpop_proof_pkey PRIMARY KEY (proof_hash)
);

COMMENT ON COLUMN consent.dpop_proof.proof_hash IS 'SHA-256 of key thumbprint and jti';

CREATE TABLE consent.revoked_token (
	token_jti UUID NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT revoked_token_pkey PRIMARY KEY (token_jti)
);

COMMENT ON COLUMN consent.revoked_token.expires_at IS 'when the token ends anyway';

CREATE TABLE consent.officer (
	officer_id UUID NOT NULL,
	body_id UUID NOT NULL,
	name TEXT NOT NULL,
	role TEXT NOT NULL,
	status TEXT NOT NULL,
	status_since TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT officer_pkey PRIMARY KEY (officer_id),
	CONSTRAINT officer_status_check CHECK (status IN ('active', 'stood-down')),
	CONSTRAINT officer_body_id_fkey FOREIGN KEY(body_id) REFERENCES consent.body (body_id)
);

CREATE INDEX officer_body_id_idx ON consent.officer (body_id);

CREATE TABLE consent."authorization" (
	authorization_id UUID NOT NULL,
	body_id UUID NOT NULL,
	basis_id UUID NOT NULL,
	purposes TEXT[] NOT NULL,
	fields TEXT[] NOT NULL,
	scope TEXT NOT NULL,
	subjects BYTEA[] NOT NULL,
	case_pattern TEXT,
	per_day INTEGER NOT NULL,
	per_case INTEGER,
	valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
	valid_until TIMESTAMP WITH TIME ZONE NOT NULL,
	state TEXT NOT NULL,
	content TEXT NOT NULL,
	proposal TEXT NOT NULL,
	proposer_id UUID NOT NULL,
	proposer_thumbprint TEXT NOT NULL,
	proposed_at TIMESTAMP WITH TIME ZONE NOT NULL,
	approval TEXT,
	approver_id UUID,
	approver_thumbprint TEXT,
	approved_at TIMESTAMP WITH TIME ZONE,
	revocation TEXT,
	revoked_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT authorization_pkey PRIMARY KEY (authorization_id),
	CONSTRAINT authorization_covers_something_check CHECK (cardinality(purposes) > 0 AND cardinality(fields) > 0),
	CONSTRAINT authorization_scope_check CHECK (CASE scope WHEN 'named' THEN cardinality(subjects) > 0 AND case_pattern IS NULL WHEN 'case' THEN cardinality(subjects) = 0 AND case_pattern IS NOT NULL WHEN 'any' THEN cardinality(subjects) = 0 AND case_pattern IS NULL ELSE false END),
	CONSTRAINT authorization_quotas_check CHECK (per_day > 0 AND (per_case IS NULL OR per_case > 0)),
	CONSTRAINT authorization_validity_check CHECK (valid_until > valid_from),
	CONSTRAINT authorization_two_registrars_check CHECK (approver_id <> proposer_id),
	CONSTRAINT authorization_two_keys_check CHECK (approver_thumbprint <> proposer_thumbprint),
	CONSTRAINT authorization_whole_approval_check CHECK (num_nulls(approval, approver_id, approver_thumbprint, approved_at) IN (0, 4)),
	CONSTRAINT authorization_state_check CHECK (CASE state WHEN 'proposed' THEN approval IS NULL AND revoked_at IS NULL WHEN 'approved' THEN approval IS NOT NULL AND revoked_at IS NULL WHEN 'revoked' THEN revoked_at IS NOT NULL ELSE false END),
	CONSTRAINT authorization_body_id_fkey FOREIGN KEY(body_id) REFERENCES consent.body (body_id),
	CONSTRAINT authorization_basis_id_fkey FOREIGN KEY(basis_id) REFERENCES consent.legal_basis (basis_id),
	CONSTRAINT authorization_proposer_id_fkey FOREIGN KEY(proposer_id) REFERENCES consent.registrar (registrar_id),
	CONSTRAINT authorization_approver_id_fkey FOREIGN KEY(approver_id) REFERENCES consent.registrar (registrar_id)
);

CREATE INDEX authorization_body_id_idx ON consent."authorization" (body_id);

COMMENT ON COLUMN consent."authorization".subjects IS 'keyed subject hashes, scope named';

COMMENT ON COLUMN consent."authorization".case_pattern IS 'scope case';

COMMENT ON COLUMN consent."authorization".content IS 'the terms, to the byte what both registrars signed';

COMMENT ON COLUMN consent."authorization".proposal IS 'JWS compact';

COMMENT ON COLUMN consent."authorization".approval IS 'JWS compact';

COMMENT ON COLUMN consent."authorization".revocation IS 'JWS compact, when a registrar''s statement revoked it';

CREATE TABLE consent.consent (
	subject_id UUID NOT NULL,
	consent_id UUID NOT NULL,
	body_id UUID NOT NULL,
	purpose TEXT NOT NULL,
	fields TEXT[] NOT NULL,
	mode TEXT NOT NULL,
	max_uses INTEGER,
	frequency_times INTEGER,
	frequency_days INTEGER,
	data_from DATE,
	data_until DATE,
	granted_at TIMESTAMP WITH TIME ZONE NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
	data_life_days INTEGER NOT NULL,
	notice_uri TEXT NOT NULL,
	notice_version TEXT NOT NULL,
	notice_hash BYTEA NOT NULL,
	language TEXT NOT NULL,
	CONSTRAINT consent_pkey PRIMARY KEY (subject_id, consent_id),
	CONSTRAINT consent_covers_something_check CHECK (cardinality(fields) > 0),
	CONSTRAINT consent_mode_check CHECK (mode IN ('view', 'store')),
	CONSTRAINT consent_max_uses_check CHECK (max_uses > 0),
	CONSTRAINT consent_whole_frequency_check CHECK ((frequency_times IS NULL) = (frequency_days IS NULL)),
	CONSTRAINT consent_frequency_check CHECK (frequency_times > 0 AND frequency_days > 0),
	CONSTRAINT consent_bounded_use_check CHECK (max_uses IS NOT NULL OR frequency_times IS NOT NULL),
	CONSTRAINT consent_data_range_check CHECK (data_until >= data_from),
	CONSTRAINT consent_validity_check CHECK (expires_at > granted_at),
	CONSTRAINT consent_data_life_check CHECK (data_life_days >= 0),
	CONSTRAINT consent_notice_hash_check CHECK (octet_length(notice_hash) = 32),
	CONSTRAINT consent_body_id_fkey FOREIGN KEY(body_id) REFERENCES consent.body (body_id)
);

CREATE INDEX consent_body_id_idx ON consent.consent (body_id);

COMMENT ON COLUMN consent.consent.data_life_days IS 'how long the body may keep what it saw';

COMMENT ON COLUMN consent.consent.notice_hash IS 'SHA-256';

CREATE TABLE consent.pushed_request (
	request_hash BYTEA NOT NULL,
	body_id UUID NOT NULL,
	parameters JSONB NOT NULL,
	dpop_jkt TEXT NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT pushed_request_pkey PRIMARY KEY (request_hash),
	CONSTRAINT pushed_request_request_hash_check CHECK (octet_length(request_hash) = 32),
	CONSTRAINT pushed_request_body_id_fkey FOREIGN KEY(body_id) REFERENCES consent.body (body_id)
);

COMMENT ON COLUMN consent.pushed_request.request_hash IS 'SHA-256 of the request_uri';

COMMENT ON COLUMN consent.pushed_request.parameters IS 'of the authorization request, as validated';

COMMENT ON COLUMN consent.pushed_request.dpop_jkt IS 'thumbprint of the key the code will be bound to';

CREATE TABLE consent.authorization_use (
	authorization_id UUID NOT NULL,
	counts TEXT NOT NULL,
	key BYTEA NOT NULL,
	uses INTEGER NOT NULL,
	CONSTRAINT authorization_use_pkey PRIMARY KEY (authorization_id, counts, key),
	CONSTRAINT authorization_use_counts_check CHECK (counts IN ('day', 'case')),
	CONSTRAINT authorization_use_uses_check CHECK (uses >= 0),
	CONSTRAINT authorization_use_authorization_id_fkey FOREIGN KEY(authorization_id) REFERENCES consent."authorization" (authorization_id)
);

COMMENT ON COLUMN consent.authorization_use.counts IS 'day or case';

COMMENT ON COLUMN consent.authorization_use.key IS 'ISO date, or SHA-256 over authorization and case';

CREATE TABLE consent.consent_event (
	subject_id UUID NOT NULL,
	consent_id UUID NOT NULL,
	number INTEGER NOT NULL,
	event TEXT NOT NULL,
	at TIMESTAMP WITH TIME ZONE NOT NULL,
	reason TEXT,
	record TEXT NOT NULL,
	copy TEXT NOT NULL,
	CONSTRAINT consent_event_pkey PRIMARY KEY (subject_id, consent_id, number),
	CONSTRAINT consent_event_subject_id_consent_id_fkey FOREIGN KEY(subject_id, consent_id) REFERENCES consent.consent (subject_id, consent_id),
	CONSTRAINT consent_event_number_check CHECK (number > 0),
	CONSTRAINT consent_event_grant_comes_first_check CHECK ((number = 1) = (event = 'granted')),
	CONSTRAINT consent_event_event_check CHECK (event IN ('granted', 'withdrawn', 'expired'))
);

COMMENT ON COLUMN consent.consent_event.number IS '1 is the grant';

COMMENT ON COLUMN consent.consent_event.record IS 'ISO/IEC TS 27560 consent record, JSON as signed';

COMMENT ON COLUMN consent.consent_event.copy IS 'JWS compact over the record, the citizen''s copy';

CREATE TABLE consent.consent_use (
	subject_id UUID NOT NULL,
	consent_id UUID NOT NULL,
	uses INTEGER NOT NULL,
	period INTEGER NOT NULL,
	period_uses INTEGER NOT NULL,
	CONSTRAINT consent_use_pkey PRIMARY KEY (subject_id, consent_id),
	CONSTRAINT consent_use_subject_id_consent_id_fkey FOREIGN KEY(subject_id, consent_id) REFERENCES consent.consent (subject_id, consent_id),
	CONSTRAINT consent_use_counts_check CHECK (uses >= 0 AND period >= 0 AND period_uses >= 0)
);

COMMENT ON COLUMN consent.consent_use.uses IS 'since the grant';

COMMENT ON COLUMN consent.consent_use.period IS 'number of the frequency period last used, from 0';

CREATE TABLE consent.oauth_grant (
	subject_id UUID NOT NULL,
	consent_id UUID NOT NULL,
	body_id UUID NOT NULL,
	details JSONB NOT NULL,
	granted_at TIMESTAMP WITH TIME ZONE NOT NULL,
	revoked_at TIMESTAMP WITH TIME ZONE,
	reason TEXT,
	CONSTRAINT oauth_grant_pkey PRIMARY KEY (subject_id, consent_id),
	CONSTRAINT oauth_grant_subject_id_consent_id_fkey FOREIGN KEY(subject_id, consent_id) REFERENCES consent.consent (subject_id, consent_id),
	CONSTRAINT oauth_grant_revoked_for_a_reason_check CHECK ((revoked_at IS NULL) = (reason IS NULL)),
	CONSTRAINT oauth_grant_body_id_fkey FOREIGN KEY(body_id) REFERENCES consent.body (body_id)
);

COMMENT ON COLUMN consent.oauth_grant.details IS 'authorization_details as granted, one object';

CREATE TABLE consent.authorization_code (
	code_hash BYTEA NOT NULL,
	subject_id UUID NOT NULL,
	consent_id UUID NOT NULL,
	body_id UUID NOT NULL,
	redirect_uri TEXT NOT NULL,
	code_challenge TEXT NOT NULL,
	dpop_jkt TEXT NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
	used BOOLEAN NOT NULL,
	CONSTRAINT authorization_code_pkey PRIMARY KEY (code_hash),
	CONSTRAINT authorization_code_subject_id_consent_id_fkey FOREIGN KEY(subject_id, consent_id) REFERENCES consent.oauth_grant (subject_id, consent_id),
	CONSTRAINT authorization_code_code_hash_check CHECK (octet_length(code_hash) = 32),
	CONSTRAINT authorization_code_body_id_fkey FOREIGN KEY(body_id) REFERENCES consent.body (body_id)
);

COMMENT ON COLUMN consent.authorization_code.code_hash IS 'SHA-256 of the code';

COMMENT ON COLUMN consent.authorization_code.code_challenge IS 'S256, RFC 7636';

CREATE TABLE vault.system_key (
	name TEXT NOT NULL,
	version SMALLINT NOT NULL,
	wrapped BYTEA NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	PRIMARY KEY (name, version)
);

CREATE TABLE vault.expiry_key (
	expiry_id INTEGER NOT NULL,
	wrapped BYTEA NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	PRIMARY KEY (expiry_id)
);

COMMENT ON COLUMN vault.expiry_key.expiry_id IS 'yyyymm';

CREATE TABLE vault.subject (
	subject_id UUID NOT NULL,
	wrapped_key BYTEA NOT NULL,
	stream_id BYTEA NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	PRIMARY KEY (subject_id),
	UNIQUE (stream_id)
);

CREATE TABLE vault.citizen_session (
	place BYTEA NOT NULL,
	sealed BYTEA NOT NULL,
	authenticated_at TIMESTAMP WITH TIME ZONE NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
	PRIMARY KEY (place),
	CONSTRAINT session_place CHECK (octet_length(place) = 32)
);

CREATE INDEX citizen_session_by_expiry ON vault.citizen_session (expires_at);

COMMENT ON COLUMN vault.citizen_session.place IS 'digest of the session''s ticket';

COMMENT ON COLUMN vault.citizen_session.sealed IS 'who is signed in: blind index and display name';

CREATE TABLE vault.single_use (
	kind TEXT NOT NULL,
	place BYTEA NOT NULL,
	sealed BYTEA NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
	PRIMARY KEY (kind, place),
	CONSTRAINT single_use_kind CHECK (kind IN ('sign-in', 'demo-code')),
	CONSTRAINT single_use_place CHECK (octet_length(place) = 32)
);

CREATE INDEX single_use_by_expiry ON vault.single_use (expires_at);

COMMENT ON COLUMN vault.single_use.place IS 'digest of the ticket';

CREATE TABLE vault.identifier (
	subject_id UUID NOT NULL,
	scheme TEXT NOT NULL,
	blind BYTEA NOT NULL,
	key_version SMALLINT NOT NULL,
	PRIMARY KEY (subject_id, scheme),
	UNIQUE (scheme, blind),
	FOREIGN KEY(subject_id) REFERENCES vault.subject (subject_id)
);

CREATE TABLE vault.record (
	subject_id UUID NOT NULL,
	record_id UUID NOT NULL,
	version INTEGER NOT NULL,
	category TEXT NOT NULL,
	furnisher UUID NOT NULL,
	reference BYTEA NOT NULL,
	content BYTEA NOT NULL,
	basis TEXT NOT NULL,
	display_from DATE NOT NULL,
	display_until DATE,
	how_counted TEXT NOT NULL,
	state TEXT NOT NULL,
	expiry_id INTEGER NOT NULL,
	wrapped_key BYTEA NOT NULL,
	key_check BYTEA NOT NULL,
	fields TEXT[] NOT NULL,
	sealed BYTEA[] NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
	superseded BOOLEAN DEFAULT false NOT NULL,
	PRIMARY KEY (subject_id, record_id, version),
	UNIQUE (furnisher, reference, version),
	FOREIGN KEY(subject_id) REFERENCES vault.subject (subject_id),
	FOREIGN KEY(expiry_id) REFERENCES vault.expiry_key (expiry_id)
);

CREATE INDEX record_by_expiry ON vault.record (expiry_id);

COMMENT ON COLUMN vault.record.reference IS 'keyed digest of the furnisher''s reference';

COMMENT ON COLUMN vault.record.content IS 'keyed digest of the submission';

COMMENT ON COLUMN vault.record.display_until IS 'last day shown; null while no end is known';

COMMENT ON COLUMN vault.record.state IS 'shown, held, repaired, annulled, sealed';
