package conn

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func TestReveal(t *testing.T) {
	t.Parallel()

	tests := []struct{ name, uri, database, app, want string }{
		{"NothingToChange", "mongodb://h/shop?w=1", "shop", "", "mongodb://h/shop?w=1"},
		{"TheDatabaseIsAdded", "mongodb://h", "shop", "", "mongodb://h/shop"},
		{"TheDatabaseIsReplaced", "mongodb://h,i:3/old?replicaSet=rs", "shop", "", "mongodb://h,i:3/shop?replicaSet=rs"},
		{"AUserStaysKnownWhereTheDriverLookedForIt", "mongodb://u:p%40ss@h", "shop", "", "mongodb://u:p%40ss@h/shop?authSource=admin"},
		{"AUserOfTheOldDatabaseStaysThere", "mongodb://u:p@h/old", "shop", "", "mongodb://u:p@h/shop?authSource=old"},
		{"AGivenAuthSourceStays", "mongodb://u:p@h/old?AuthSource=x", "shop", "", "mongodb://u:p@h/shop?AuthSource=x"},
		{"TheAppNameIsReplaced", "mongodb://h/?appname=a&tls=true", "", "rikki 7", "mongodb://h/?tls=true&appName=rikki+7"},
		{"TheAppNameIsAdded", "mongodb://h", "", "rikki", "mongodb://h/?appName=rikki"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ref := &Ref{source: New(Config{URI: test.uri}), link: &link{database: test.database}}
			got := ref.Reveal(test.app)
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			o := options.Client().ApplyURI(got)
			if err := o.Validate(); err != nil {
				t.Error(err)
			}
			if test.app != "" && (o.AppName == nil || *o.AppName != test.app) {
				t.Errorf("the driver reads the app name %v", o.AppName)
			}
		})
	}
}
