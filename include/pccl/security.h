/*
 * pccl: how connections are protected.
 *
 * With a join secret or with certificates, every connection (to masters and between peers) is TLS 1.3 and both ends
 * have proved that they belong to the run; whoever can't is turned away in words. Without either, connections are
 * plain and stay on this host: other hosts are refused, and only loopback addresses are dialled, unless the mode is
 * pcclSecurityNone. All peers and masters of a run have the same mode.
 *
 * What each mode protects from whom: docs/SECURITY.md.
 */
#ifndef PCCL_SECURITY_H
#define PCCL_SECURITY_H

#include "pccl.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pcclSecurityMode_t {
	pcclSecurityDefault =
		0, /* psk if a secret is given, tls if a certificate is, else plain and on this host only */
	pcclSecurityNone = 100, /* plain, also between hosts: whoever reads the wire reads the tensors, and may join */
	pcclSecurityPsk = 101,	/* a join secret that all peers and masters share */
	pcclSecurityTls = 102	/* certificates of one authority */
} pcclSecurityMode_t;

/*
 * Initialize with PCCL_SECURITY_INITIALIZER. A zero or NULL field means "the PCCL_* environment variable named beside
 * it". Strings and files are read during the call that takes the structure.
 *
 * What counts: of secrets those of the structure, before those of the environment; in either, `secret` before
 * `secret_file`. With a secret of the structure the environment's are not looked at. Certificate, key and so on are
 * taken from the environment one by one. The structure's kind of credentials (secret or certificates) goes before the
 * environment's; where one of the two has both, the mode says which counts.
 *
 * Refused with pcclInvalidArgument, in words, because it would be plain, or something else, without anybody knowing: an
 * empty string (also of a variable that is looked at), a mode of none beside a secret or certificates wherever they
 * come from, both kinds without a mode, one or two of the three files of certificates, and a structure whose size does
 * not reach its fields. Files must be plain ones (no FIFO); the log warns of those that others may read or change.
 */
typedef struct pcclSecurity_t {
	size_t size;
	pcclSecurityMode_t mode; /* PCCL_SECURITY=none|psk|tls */
	uint32_t reserved_mode;	 /* must be 0 */
	const char *secret;	 /* PCCL_SECRET: the text that pccl-master --generate-secret prints */
	const char
		*secret_file; /* PCCL_SECRET_FILE: a file of such lines, at most 4. This side shows the first and takes
				  * all, so that a secret can be changed in two rounds of restarts while a run goes on;
				  * blank lines and lines that begin with # do not count */
	const char *authority_file;   /* PCCL_AUTHORITY_FILE: PEM, of whose certificates count */
	const char *certificate_file; /* PCCL_CERTIFICATE_FILE: PEM, this side's, and what leads to the authority. If it
				       * has an extended key usage: serverAuth of a master, clientAuth of a peer */
	const char *key_file;	      /* PCCL_KEY_FILE: PEM, its private key, without a pass phrase: nobody is asked */
	const char *revoked_file;     /* PCCL_REVOKED_FILE: PEM, lists of those that do not count any more, one of each
				       * authority of a chain; optional */
	const char
		*identity_file;	 /* PCCL_IDENTITY_FILE: this side's own Ed25519 key, by which a master's list of who may
				 * join, or peers that pin their masters, know it; made on first use. NULL: peers draw a
				 * key for each communicator, masters have none. Not for plain connections */
	const char *master_keys; /* PCCL_MASTER_KEYS: of peers: the keys of the only masters that count, as pccl-master
				  * prints its own, at most 16 with commas between. NULL: whoever has the secret, or a
				  * certificate, can be a master of who calls it. Of masters with identity_file: besides
				  * its own, whose signatures it believes on what peers bring of views */
	/* PCCL_RDMA_TRUSTED: networks, as "10.1.0.0/16,fd00::/8", at most 16, in which whoever can read or send packets
	 * is trusted. Between peers that have chosen RDMA, and both list one that both their devices are in (of what is
	 * between two networks a list says nothing), all that they say to each other once they have met travels
	 * unencrypted and unprotected there: tensors, states, passes and digests. NULL: none. Without secret and
	 * certificates it means nothing, but is read. */
	const char *rdma_trusted;
	uint64_t reserved[1];
} pcclSecurity_t;

#define PCCL_SECURITY_INITIALIZER                                                                                     \
	{                                                                                                             \
		sizeof(pcclSecurity_t), pcclSecurityDefault, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
		{                                                                                                     \
			0                                                                                             \
		}                                                                                                     \
	}

#define PCCL_SECRET_TEXT_BYTES 64 /* enough for the text of a join secret, NUL included */

/*
 * Makes a new join secret: 256 random bits and a check sum, one line of text without line end. Share it with who may
 * join, and with nobody else. pcclInvalidArgument: NULL; pcclSystemError: the system gives no random numbers.
 */
PCCL_EXPORT pcclResult_t pcclGenerateSecret(char text_out[PCCL_SECRET_TEXT_BYTES]);

#define PCCL_KEY_TEXT_BYTES 80 /* enough for the text of a key, NUL included */

/*
 * What others know the key in a file by (identity_file, pccl-master --key): "pccl-key-" and 64 digits, which are no
 * secret. The file is made if it is not there. pcclInvalidArgument: NULL, or what is wrong with the file;
 * pcclSystemError: no key can be made.
 */
PCCL_EXPORT pcclResult_t pcclDescribeKey(const char *key_file, char text_out[PCCL_KEY_TEXT_BYTES]);

/*
 * How a master protects its connections. Without this call before it runs the environment says. While it runs, from any
 * thread: its secrets, certificates and list of revoked ones from now on; connections that are up stay, and so do its
 * key and whether it is protected. For a communicator: pcclConfig_t.security. pcclInvalidArgument: a secret or a file,
 * and what is wrong with it; pcclInvalidUsage: the master runs, and is plain, or would be; pcclOutOfMemory.
 */
PCCL_EXPORT pcclResult_t pcclSetMasterSecurity(pcclMasterInstance_t *master_instance, const pcclSecurity_t *security);

/*
 * Who may join what, of those who have the secret or a certificate: a file with a line for each, "key KEY" (as
 * pcclDescribeKey says it, of a peer with identity_file) or "name NAME" (the common name in a certificate), and behind
 * it " groups 0,3-5", if that is not all groups; blank lines and lines that begin with # do not count. NULL: everybody.
 * May be called again, also while the master runs and from any thread: then the file counts as it is now, and members
 * that are not on it any more are evicted. pcclInvalidArgument: NULL, or the line and what is wrong with it, or none
 * lets anybody join, and what was before stays; pcclInvalidUsage: it runs on plain connections, where nobody can prove
 * who it is; pcclOutOfMemory.
 */
PCCL_EXPORT pcclResult_t pcclSetMasterAdmission(pcclMasterInstance_t *master_instance, const char *allow_file);

/* Takes a line of an answer, without its end; gone when it returns. Must not call the library. */
typedef void (*pcclLineCallback_t)(const char *line, void *context);

/*
 * Has a master that runs do what its operator says, one command in words, as pccl-master --do (which see):
 *
 *	list				one line for each peer that is here: "member group 0 epoch 3 rank 1 uuid ... at
 *					192.0.2.7 key ... name ..."; "waiting" or "returned" stands for who is no member
 *	evict WHOM [because TEXT]	out at once, told why; it may come back as another peer
 *	ban WHOM [because TEXT]		likewise, and who has that key or name is refused until "unban WHOM", or as long
 *					as this master runs; "bans" lists them
 *
 * WHOM is "uuid UUID", "key KEY" or "name NAME", as the list says it. `take` gets the lines of the answer before the
 * call returns, and may be NULL. From any thread. pcclInvalidArgument: NULL, a line that says something else, or about
 * nobody; pcclInvalidUsage: the master does not run, or bans nobody for its connections are plain, or somebody stays
 * who is needed: with several masters, those who stay have to be a majority (a ban counts for it none the less, once it
 * has gone); pcclOutOfMemory.
 */
PCCL_EXPORT pcclResult_t pcclCommandMaster(pcclMasterInstance_t *master_instance, const char *command,
					   pcclLineCallback_t take PCCL_NULLABLE, void *context PCCL_NULLABLE);

#ifdef __cplusplus
}
#endif

#endif
