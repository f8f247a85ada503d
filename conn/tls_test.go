package conn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	certificate := selfSigned(t)
	server := mongotest.Dedicated(t, &embedded.Options{
		Standalone: true,
		Args:       []string{"--tlsMode", "requireTLS", "--tlsCertificateKeyFile", certificate},
	})
	address := "mongodb://" + strings.TrimPrefix(strings.Split(server.URI(), "/?")[0], "mongodb://") + "/db"

	t.Run("ConnectsWithTheRightAuthority", func(t *testing.T) {
		t.Parallel()
		ref := acquire(t, source(t, conn.Config{URI: address + "?tls=true&tlsCAFile=" + certificate}))
		release(t, ref)
	})

	t.Run("UnknownAuthorityIsNotWaitedFor", func(t *testing.T) {
		t.Parallel()
		failure{conn.TLS, conn.ErrUnreachable, "certificate", 10 * time.Second}.check(t,
			conn.Config{URI: address + "?tls=true", ServerSelectionTimeout: time.Minute})
	})

	t.Run("WrongHostNameIsNotWaitedFor", func(t *testing.T) {
		t.Parallel()
		failure{conn.TLS, conn.ErrUnreachable, "valid for", 10 * time.Second}.check(t, conn.Config{
			URI: strings.Replace(address, "127.0.0.1", "localhost", 1) + "?tls=true&tlsCAFile=" + certificate, ServerSelectionTimeout: time.Minute,
		})
	})

	t.Run("MissingCAFileIsABadURI", func(t *testing.T) {
		t.Parallel()
		failure{conn.BadURI, conn.ErrBadURI, "/no/such/ca.pem", 10 * time.Second}.check(t,
			conn.Config{URI: address + "?tls=true&tlsCAFile=/no/such/ca.pem"})
	})

	t.Run("ServerRequiresIt", func(t *testing.T) {
		t.Parallel()
		failure{conn.Dropped, conn.ErrUnreachable, "may require TLS", 6 * time.Second}.check(t,
			conn.Config{URI: address, ServerSelectionTimeout: quick})
	})

	t.Run("ServerDoesNotSpeakIt", func(t *testing.T) {
		t.Parallel()
		failure{conn.TLS, conn.ErrUnreachable, "may not speak TLS", 6 * time.Second}.check(t,
			conn.Config{URI: uri(t, "db", "tls=true"), ServerSelectionTimeout: quick})
	})
}

// selfSigned writes a certificate for 127.0.0.1 and its key, and returns the
// file's name.
func selfSigned(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	file := filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
