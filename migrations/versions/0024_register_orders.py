"""Acts on registers that registrars sign, one alone or two together."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

APPLICATION = "creditvault_app"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE consent.register_order (
            order_id UUID NOT NULL,
            act TEXT NOT NULL,
            pair BOOLEAN NOT NULL,
            state TEXT NOT NULL,
            content TEXT NOT NULL,
            statement TEXT NOT NULL,
            registrar_id UUID NOT NULL,
            thumbprint TEXT NOT NULL,
            ordered_at TIMESTAMP WITH TIME ZONE NOT NULL,
            agreement TEXT,
            agreed_by UUID,
            agreed_thumbprint TEXT,
            agreed_at TIMESTAMP WITH TIME ZONE,
            object_id UUID,
            CONSTRAINT register_order_pkey PRIMARY KEY (order_id),
            CONSTRAINT register_order_registrar_id_fkey
                FOREIGN KEY (registrar_id) REFERENCES consent.registrar (registrar_id),
            CONSTRAINT register_order_agreed_by_fkey
                FOREIGN KEY (agreed_by) REFERENCES consent.registrar (registrar_id),
            CONSTRAINT register_order_two_registrars_check CHECK (agreed_by <> registrar_id),
            CONSTRAINT register_order_two_keys_check CHECK (agreed_thumbprint <> thumbprint),
            CONSTRAINT register_order_whole_agreement_check
                CHECK (num_nulls(agreement, agreed_by, agreed_thumbprint, agreed_at) IN (0, 4)),
            CONSTRAINT register_order_state_check CHECK (
                CASE state WHEN 'waiting' THEN pair AND agreement IS NULL AND object_id IS NULL
                WHEN 'dropped' THEN pair AND agreement IS NULL AND object_id IS NULL
                WHEN 'done' THEN pair = (agreement IS NOT NULL) AND object_id IS NOT NULL ELSE false END
            )
        )
        """
    )
    op.execute(
        "COMMENT ON TABLE consent.register_order IS"
        " 'acts on registers that registrars signed; the state of each is what it came to'"
    )
    for column, comment in (
        ("act", "what it orders, as `do` names it"),
        ("pair", "whether it needs two registrars"),
        ("content", "the act, to the byte as signed"),
        ("statement", "JWS compact"),
        ("agreement", "JWS compact"),
        ("object_id", "what the act was about or made"),
    ):
        op.execute(f"COMMENT ON COLUMN consent.register_order.{column} IS '{comment}'")
    op.execute(
        "COMMENT ON COLUMN consent.register_event.object_id IS"
        " 'body, officer, registrar, basis, authorization or order'"
    )
    op.execute(f"GRANT SELECT, INSERT ON consent.register_order TO {APPLICATION}")
    # What was signed stays as it was signed.
    op.execute(
        "GRANT UPDATE (state, agreement, agreed_by, agreed_thumbprint, agreed_at, object_id)"
        f" ON consent.register_order TO {APPLICATION}"
    )


def downgrade() -> None:
    op.execute("DROP TABLE consent.register_order")
    op.execute(
        "COMMENT ON COLUMN consent.register_event.object_id IS"
        " 'body, officer, registrar, basis or authorization'"
    )
